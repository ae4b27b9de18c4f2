package adaxes

import (
	"net/http"
	"slices"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// m365Path is where a user's Microsoft 365 properties are read, up to 2023.2
// (REST_GetMicrosoft365Properties).
const m365Path = "/api/directoryobjects/o365account/properties"

type m365Properties struct {
	IsCreated     bool          `json:"isCreated"`
	LocationName  *string       `json:"locationName"`
	SignInBlocked bool          `json:"signInBlocked"`
	Licenses      []m365Licence `json:"licenses"`
}

type m365Licence struct {
	Assigned      bool `json:"assigned"`
	ConsumedUnits int  `json:"consumedUnits"`
	TotalUnits    int  `json:"totalUnits"`
	SKU           struct {
		SKUPartNumber string        `json:"skuPartNumber"`
		Services      []m365Service `json:"services"`
	} `json:"sku"`
}

type m365Service struct {
	ServiceName string `json:"serviceName"`
	Enabled     bool   `json:"enabled"`
}

// getM365 is GET ~/api/directoryObjects/o365Account/properties?directoryObject=<id>.
func (a *API) getM365(r *http.Request, _ []byte) call.Operation {
	id := query(r, "directoryObject")
	return call.Operation{Target: id, Run: func(call.Run) call.Answer {
		if id == "" {
			return invalid(modelState{"directoryObject": {"The field is required."}})
		}
		var found *m365Properties
		a.world.View(func(tx *state.Tx) {
			if o := tx.Object(id); o != nil && !a.hidden(tx, o) {
				found = renderM365(tx, o)
			}
		})
		if found == nil {
			return problem(http.StatusNotFound, "notFound", "There is no such object.")
		}
		return answer(http.StatusOK, "found", found)
	}}
}

func renderM365(tx *state.Tx, o *state.Object) *m365Properties {
	shown := &m365Properties{Licenses: []m365Licence{}}
	account := o.M365
	if account == nil {
		account = &state.M365{}
	} else {
		shown.IsCreated, shown.LocationName, shown.SignInBlocked = true, &account.Location, account.SignInBlocked
	}
	consumed := map[string]int{}
	tx.EachObject(func(other *state.Object) bool {
		if other.M365 != nil {
			for _, sku := range other.M365.Licences {
				consumed[sku]++
			}
		}
		return true
	})
	for _, licence := range tx.Seed().Licences {
		shown.Licenses = append(shown.Licenses, renderLicence(licence, account, consumed[licence.SKU]))
	}
	return shown
}

func renderLicence(licence seed.Licence, account *state.M365, consumed int) m365Licence {
	shown := m365Licence{Assigned: slices.Contains(account.Licences, licence.SKU), ConsumedUnits: consumed, TotalUnits: licence.Total}
	shown.SKU.SKUPartNumber, shown.SKU.Services = licence.SKU, []m365Service{}
	for _, service := range licence.Plans {
		shown.SKU.Services = append(shown.SKU.Services, m365Service{service, slices.Contains(account.Services[licence.SKU], service)})
	}
	return shown
}
