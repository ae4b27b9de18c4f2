package tenant

import (
	"github.com/mailwright/mailwright/pkg/vendors/adaxes"
	"github.com/mailwright/mailwright/pkg/vendors/enpower"
	"github.com/mailwright/mailwright/pkg/vendors/exchangeonline"
	"github.com/mailwright/mailwright/pkg/vendors/hostedexchange"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// Client gives the client's configuration; http bounds its calls.
func (a *Adaxes) Client(http transport.Config) adaxes.Config {
	return adaxes.Config{BaseURL: a.URL, Token: a.Token.String, Username: a.Username, Password: a.Password.String, Microsoft365Field: a.Microsoft365Field, HTTP: http}
}

// Client gives the client's configuration; http bounds its calls.
func (x *ExchangeOnline) Client(http transport.Config) exchangeonline.Config {
	return exchangeonline.Config{BaseURL: x.URL, TenantID: x.TenantID, TokenURL: x.TokenURL, ClientID: x.ClientID, ClientSecret: x.ClientSecret.String, Scope: x.Scope, HTTP: http}
}

// Client gives the client's configuration; http bounds its calls.
func (h *HostedExchange) Client(http transport.Config) hostedexchange.Config {
	return hostedexchange.Config{URL: h.URL, Transport: h.Transport, Username: h.Username, Password: h.Password.String, HTTP: http}
}

// Client gives the client's configuration; http bounds its calls.
func (e *EnPower) Client(http transport.Config) enpower.Config {
	return enpower.Config{BaseURL: e.URL, TokenURL: e.TokenURL, ClientID: e.ClientID, ClientSecret: e.ClientSecret.String, Scope: e.Scope, HTTP: http}
}
