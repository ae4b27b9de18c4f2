package security

import (
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

// kind is a subject, and who may use it. It is written by hand, and not derived as the permissions
// are: each says what the other must.
type kind struct {
	subject                 string
	publishers, subscribers []string
}

var (
	workers    = []string{"directory-svc", "mailbox-svc", "delegation-svc", "inventory-svc"}
	tenants    = []string{"contoso", "fabrikam"}
	streams    = []string{"COMMANDS", "EVENTS", "MAILBOXES", "DRIFT", "PARKED", "DEAD", "RECIPIENTS", "AUDIT"}
	projected  = []string{"COMMANDS", "EVENTS", "MAILBOXES", "DEAD", "AUDIT"}
	everyone   = append(slices.Clone(workers), "projection-svc", "streams", "operator", "console", "auditor", "erasure", "operator-alex", "publisher-contoso", "reader-contoso", "publisher-contoso-mailbox", "reader-contoso-mailbox", "publisher-fabrikam", "reader-fabrikam")
	allScoped  = everyone[11:]
	allReaders = []string{"reader-contoso", "reader-contoso-mailbox", "reader-fabrikam"}
)

// kinds are all kinds of subjects of the system.
func kinds() []kind {
	var list []kind
	add := func(subject string, publishers ...[]string) {
		may := slices.Concat(publishers...)
		if slices.Contains(may, "operator") {
			may = append(may, "operator-alex")
			may = append(may, only(!strings.HasPrefix(subject, "mailwright.recipients."), "console")...)
		}
		list = append(list, kind{subject: subject, publishers: may})
	}
	for _, d := range event.Domains() {
		domainKinds(string(d), add)
	}
	for _, s := range streams {
		streamKinds(s, add)
	}
	for _, t := range tenants {
		add("mailwright.recipients."+t, []string{"operator"})
		add("$JS.API.DIRECT.GET.RECIPIENTS.mailwright.recipients."+t, []string{"operator"}, scoped("publisher", t, "mailbox"))
	}
	nobody := []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.SERVER.REMOVE", "$JS.API.META.LEADER.STEPDOWN",
		"$JS.ACK.EVENTS.x.1.2.3.4.5", "$JS.ACK._.abcdefgh.EVENTS.x.1.2.3.4.5", "$JS.FC.COMMANDS.x.y", "$SYS.REQ.SERVER.PING",
		"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.COMMANDS.directory-0", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.PARKED.directory-0",
		"mailwright.other", "other", "_INBOX.x", "_R_x.y",
		// patterns, for the subscriptions
		">", "*.>", "mailwright.>", "mailwright.cmd.>", "mailwright.cmd.contoso.mailbox.*", "mailwright.evt.>", "mailwright.evt.contoso.mailbox.*", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$SYS.>", "_INBOX.>",
	}
	for _, subject := range nobody {
		// Who may publish the commands of any key may publish one with a wildcard for its key.
		switch subject {
		case "mailwright.cmd.contoso.mailbox.*":
			add(subject, []string{"operator", "publisher-contoso", "publisher-contoso-mailbox"})
		case "mailwright.evt.contoso.mailbox.*":
			add(subject, []string{"mailbox-svc"})
		default:
			add(subject)
		}
	}
	add("$SYS.REQ.USER.INFO", []string{"operator", "streams", "erasure"})
	for _, u := range everyone {
		// Nobody acts under the name of another.
		list = append(list, kind{subject: "mailwright.audit." + u + ".act", publishers: only(slices.Contains([]string{"operator", "operator-alex", "console", "streams", "erasure"}, u), u)})
		add("$JS.API.CONSUMER.CREATE.AUDIT.x.mailwright.audit."+u+".*", []string{"operator", "auditor", "erasure", "projection-svc"})
		list = append(list, kind{subject: "_INBOX_" + u + ".x.1", subscribers: []string{u}}, kind{subject: "_INBOX_" + u + ".>", subscribers: []string{u}})
	}
	return list
}

// domainKinds are the subjects of a domain.
func domainKinds(d string, add func(string, ...[]string)) {
	worker := []string{d + "-svc"}
	for _, t := range tenants {
		add("mailwright.cmd."+t+"."+d+".key", []string{"operator"}, only(d == "delegation", worker...), scoped("publisher", t, d))
		add("mailwright.cmd." + t + "." + d + ".0.key")
		add("mailwright.evt."+t+"."+d+".operation", worker)
		add("mailwright.parked."+t+"."+d+".key", worker)
		add("mailwright.schedule."+t+"."+d+".key", worker)
		add("mailwright.notbefore."+t+"."+d+".operation", worker)
		add("mailwright.wake."+t+"."+d+".0.key", []string{"operator"})
		add("mailwright.dead."+t+"."+d+".operation", worker)
		add("mailwright.drift."+t+"."+d+".mailbox", only(d == "delegation", "projection-svc"))
		add("mailwright.mailbox."+t+"."+d, []string{"inventory-svc"})

		readers := slices.Concat(scoped("publisher", t, d), scoped("reader", t, d))
		for _, filter := range []string{".operation", ".*"} {
			add("$JS.API.CONSUMER.CREATE.EVENTS.x.mailwright.evt."+t+"."+d+filter, []string{"operator", "erasure", "projection-svc"}, readers)
			add("$JS.API.CONSUMER.CREATE.DEAD.x.mailwright.dead."+t+"."+d+filter, []string{"operator", "erasure", "projection-svc"}, readers)
			add("$JS.API.CONSUMER.CREATE.DRIFT.x.mailwright.drift."+t+"."+d+filter, []string{"operator", "erasure"}, scoped("reader", t, d))
			add("$JS.API.CONSUMER.CREATE.COMMANDS.x.mailwright.cmd."+t+"."+d+".0"+filter, []string{"operator", "erasure", "projection-svc"})
		}
		add("$JS.API.DIRECT.GET.EVENTS.mailwright.evt."+t+"."+d+".operation", []string{"operator", "erasure"})
		add("$JS.API.DIRECT.GET.DEAD.mailwright.dead."+t+"."+d+".operation", []string{"operator", "erasure"})
		add("$JS.API.DIRECT.GET.DRIFT.mailwright.drift."+t+"."+d+".mailbox", []string{"operator", "erasure"}, only(d == "delegation", "projection-svc"))
		add("$JS.API.DIRECT.GET.COMMANDS.mailwright.cmd."+t+"."+d+".0.key", []string{"operator", "erasure"})
		for _, waiting := range []string{"parked", "schedule", "notbefore"} {
			add("$JS.API.DIRECT.GET.PARKED.mailwright."+waiting+"."+t+"."+d+".key", []string{"operator", "erasure"}, worker)
		}
		add("$JS.API.DIRECT.GET.PARKED.mailwright.wake."+t+"."+d+".0.key", []string{"operator", "erasure"}, worker)
	}
	for _, filter := range []string{"evt.*.*.*", "evt.*." + d + ".*"} {
		add("$JS.API.CONSUMER.CREATE.EVENTS.y.mailwright."+filter, []string{"operator", "erasure", "projection-svc"})
	}
	for stream, names := range map[string][]string{"COMMANDS": {d + "-0", d + "-7", d + "-odd-0", d + "-recheck"}, "PARKED": {d + "-0", d + "-7"}} {
		for _, name := range names {
			durableKinds(stream, name, d, add)
		}
	}
}

// durableKinds are the subjects of a worker's consumer.
func durableKinds(stream, name, d string, add func(string, ...[]string)) {
	worker := []string{d + "-svc"}
	place := stream + "." + name
	followed := only(stream == "COMMANDS", "operator", "erasure", "projection-svc")
	add("$JS.API.CONSUMER.INFO."+place, worker, []string{"streams", "console"}, followed)
	add("$JS.API.CONSUMER.MSG.NEXT."+place, worker)
	add("$JS.API.CONSUMER.UNPIN."+place, only(name != d+"-recheck", worker...))
	add("$JS.ACK."+place+".1.2.3.4.5", worker)
	add("$JS.ACK._.abcdefgh."+place+".1.2.3.4.5", worker)
	add("$JS.API.CONSUMER.CREATE." + place)
	// A filter of another generation of partitions, or a narrower one, is none that a service takes:
	// it checks its consumers.
	add("$JS.API.CONSUMER.CREATE."+place+".mailwright.cmd.contoso."+d+".0.key", only(stream == "COMMANDS", "streams"))
	add("$JS.API.CONSUMER.CREATE."+place+".mailwright.cmd.*."+d+".3.0.*", only(stream == "COMMANDS", "streams"))
	add("$JS.API.CONSUMER.DURABLE.CREATE." + place)
	add("$JS.API.CONSUMER.DELETE."+place, []string{"streams"})
	add("$JS.API.CONSUMER.PAUSE."+place, only(stream == "PARKED", "streams"))
	add("$JS.API.CONSUMER.RESET." + place)
	add("$JS.API.CONSUMER.LEADER.STEPDOWN." + place)
	filter := map[string]string{"COMMANDS": "mailwright.cmd.*." + d + ".", "PARKED": "mailwright.wake.*." + d + "."}[stream]
	switch name {
	case d + "-recheck":
		filter += ">"
	case d + "-odd-0":
		filter += "1.0.*"
	default:
		filter += name[len(d)+1:] + ".*"
	}
	add("$JS.API.CONSUMER.CREATE."+place+"."+filter, []string{"streams"})
}

// streamKinds are the requests about a stream.
func streamKinds(s string, add func(string, ...[]string)) {
	isProjected := slices.Contains(projected, s)
	byProjection := only(isProjected, "projection-svc")
	byInventory := only(s == "MAILBOXES", "inventory-svc")
	byAuditor := only(s == "AUDIT", "auditor")
	byErasure := only(s != "RECIPIENTS", "erasure")
	read := slices.Concat([]string{"operator"}, byAuditor, byErasure, only(isProjected || s == "DRIFT", "projection-svc"),
		only(s == "COMMANDS" || s == "EVENTS" || s == "PARKED", workers...), byInventory, only(s == "COMMANDS", "streams"))
	add("$JS.API.STREAM.INFO."+s, workers, []string{"streams", "operator", "erasure"}, only(isProjected || s == "DRIFT", "projection-svc"), byAuditor)
	add("$JS.API.STREAM.CREATE."+s, []string{"streams"})
	add("$JS.API.STREAM.MSG.GET."+s, read)
	add("$JS.API.DIRECT.GET."+s, read)
	add("$JS.API.STREAM.MSG.DELETE."+s, only(s == "PARKED" || s == "COMMANDS", workers...), only(s == "DEAD" || s == "COMMANDS", "operator"), only(s != "EVENTS" && s != "AUDIT", byErasure...))
	add("$JS.API.STREAM.UPDATE."+s, []string{"streams"})
	for _, request := range []string{"DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE"} {
		add("$JS.API.STREAM." + request + "." + s)
	}
	add("$JS.API.STREAM.PURGE."+s, only(s == "EVENTS", "erasure"))
	add("$JS.API.CONSUMER.NAMES." + s)
	add("$JS.API.CONSUMER.LIST."+s, only(s == "COMMANDS", "operator", "streams"))
	followed := only(s != "PARKED" && s != "RECIPIENTS", "operator", "erasure")
	add("$JS.API.CONSUMER.CREATE."+s, nil)
	add("$JS.API.CONSUMER.CREATE."+s+".x", followed, byProjection, byAuditor)
	add("$JS.API.CONSUMER.CREATE."+s+".x.>", followed, byProjection, byAuditor)
	add("$JS.API.CONSUMER.DURABLE.CREATE." + s + ".x")
	// A consumer that only its owner can name; see docs/security.md.
	var own []string
	switch s {
	case "AUDIT":
		own = byAuditor
	case "EVENTS", "DEAD":
		own = allScoped
	case "DRIFT":
		own = allReaders
	case "MAILBOXES":
		own = []string{"inventory-svc", "reader-contoso", "reader-fabrikam"}
	}
	add("$JS.API.CONSUMER.INFO."+s+".x", followed, byProjection, own)
	add("$JS.API.CONSUMER.MSG.NEXT."+s+".x", followed, byProjection, own)
	add("$JS.API.CONSUMER.DELETE."+s+".x", followed, own)
	if s == "MAILBOXES" {
		for _, t := range tenants {
			add("$JS.API.CONSUMER.CREATE.MAILBOXES.x.mailwright.mailbox."+t+".*", []string{"operator", "erasure", "projection-svc", "inventory-svc", "reader-" + t})
			add("$JS.API.DIRECT.GET.MAILBOXES.mailwright.mailbox."+t+".m", []string{"operator", "erasure", "inventory-svc"})
		}
	}
}

// scoped are the publishers or readers that a tenant and domain belong to.
func scoped(role, tenant, domain string) []string {
	return append([]string{role + "-" + tenant}, only(tenant == "contoso" && domain == "mailbox", role+"-contoso-mailbox")...)
}

func only(condition bool, users ...string) []string {
	if !condition {
		return nil
	}
	return users
}
