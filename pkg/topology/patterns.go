package topology

import "github.com/mailwright/mailwright/pkg/event"

// Any stands for every tenant in the patterns of this file.
const Any = "*"

// CommandsOf matches the subjects to which the commands of a tenant and domain are published.
func CommandsOf(tenant string, domain event.Domain) string {
	return join("cmd", tenant, string(domain), "*")
}

// CommandsStored matches the commands of a tenant and domain as COMMANDS has them, those without a
// partition included.
func CommandsStored(tenant string, domain event.Domain) string {
	return join("cmd", tenant, string(domain), ">")
}

// ParkedOf matches the subjects of PARKED on which commands of a domain wait.
func ParkedOf(domain event.Domain) string { return WaitingOf(domain)[0] }

// EventsOf matches the subjects of all operations of a tenant and domain.
func EventsOf(tenant string, domain event.Domain) string {
	return join("evt", tenant, string(domain), "*")
}

// DeadOf matches the subjects of all dead letters of a tenant and domain.
func DeadOf(tenant string, domain event.Domain) string {
	return join("dead", tenant, string(domain), "*")
}

// DriftOf matches the subjects of all drift of a tenant and domain.
func DriftOf(tenant string, domain event.Domain) string {
	return join("drift", tenant, string(domain), "*")
}

// WaitingOf matches the subjects of PARKED on which commands of a domain wait, and those of the
// schedules that wake them, in this order: parked, schedule, notbefore.
func WaitingOf(domain event.Domain) []string {
	return []string{
		join("parked", Any, string(domain), "*"), join("schedule", Any, string(domain), "*"), join("notbefore", Any, string(domain), "*"),
	}
}

// WakeUpsOf matches the wake-ups of all keys of a domain.
func WakeUpsOf(domain event.Domain) string { return join("wake", Any, string(domain), "*", "*") }
