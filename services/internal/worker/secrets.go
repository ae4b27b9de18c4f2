package worker

import (
	"fmt"
	"log/slog"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/keyring"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/internal/tenant"
)

// secretsOf opens the tenants' keys, and says which tenants take plain secrets. A service none of
// whose commands can hold a secret holds no key.
func secretsOf(tenants tenant.Tenants, handlers map[string]operation.Handler, log *slog.Logger) (map[string]operation.Secrets, error) {
	needed := false
	for commandType := range handlers {
		needed = needed || event.MayHoldSecrets(commandType)
	}
	if !needed {
		return nil, nil
	}
	out := map[string]operation.Secrets{}
	for _, name := range tenants.Names() {
		t := tenants[name]
		s := operation.Secrets{PlainAllowed: t.PlainSecrets == tenant.PlainSecretsAllowed}
		if t.Identities != "" {
			k, err := keyring.Open(t.Identities, log)
			if err != nil {
				return nil, fmt.Errorf("tenants.%s.identities: %w", name, err)
			}
			s.Identities = k.Identities
			log.Info("sealed secrets can be opened", "tenant", name, "recipients", k.Identities().Recipients())
		}
		switch {
		case s.PlainAllowed:
			log.Warn("plain secrets are allowed: passwords stand in clear in COMMANDS until the outcome, and in every copy of it", "tenant", name)
		case s.Identities == nil:
			log.Warn("commands with secrets are rejected: the tenant has no identities, and plainSecrets is not allowed", "tenant", name)
		}
		out[name] = s
	}
	return out, nil
}
