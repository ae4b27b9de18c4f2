package event_test

import (
	"encoding/json"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
)

// TestEveryFormOfAnIntegerIsThatInteger: what the schemas accept, the data types read, and as the same number.
func TestEveryFormOfAnIntegerIsThatInteger(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"100", "100.0", "1e2", "1.0E+2", "10000e-2"} {
		for eventType, data := range map[string]string{
			event.DelegationRead: `{"pageSize":` + number + `}`,
			event.InventorySync:  `{"mailboxType":"user","pageSize":` + number + `}`,
		} {
			e, err := event.New("1", "/test", eventType, []byte(data))
			if err != nil {
				t.Fatal(err)
			}
			var read struct {
				PageSize event.Int `json:"pageSize"`
			}
			faults := event.Check(e)
			if err := json.Unmarshal(e.Data(), &read); err != nil || len(faults) > 0 || read.PageSize != 100 {
				t.Errorf("%s: %v, %d, %v", data, faults, read.PageSize, err)
			}
		}
	}
}

func TestIntRefusesWhatIsNoInteger(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`1.5`, `"1"`, `1e19`, `1e-1`, `true`, `[1]`, `111111111111111111111111111111111`} {
		i := event.Int(7)
		if err := json.Unmarshal([]byte(text), &i); err == nil || i != 7 {
			t.Errorf("%s: %d, %v", text, i, err)
		}
	}
	i := event.Int(7)
	if err := json.Unmarshal([]byte("null"), &i); err != nil || i != 7 {
		t.Errorf("null: %d, %v", i, err)
	}
}
