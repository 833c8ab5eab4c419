package config

import (
	"encoding/json"
	"strings"
)

// agentShape describes an adapter file: Paperclip's agent record, so that one
// can be pasted as its API returns it, and our own keys beside it.
func agentShape(r *reading) []field {
	a := r.agent
	fields := []field{
		schemaField(),
		id(field{name: "id", required: true, doc: "The agent's id on the control plane."}, &a.ID),
		id(field{name: "companyId", required: true, doc: "The id of the agent's company."}, &a.CompanyID),
		text(field{name: "name", doc: "The agent's name, for people. Commands take the file's name."}, &a.DisplayName),
		matching(field{name: "adapterType", required: true, doc: "The adapter plugin that says what to run, such as process."},
			&a.AdapterType, typePattern, maxType, "an adapter type: 1 to 64 lower-case letters, digits and _"),
		{name: "adapterConfig", typ: "object", required: true, sub: adapterShape(r), others: r.adapterKey,
			doc:    "What to run. Keys besides those listed here are the adapter's own.",
			schema: map[string]any{"patternProperties": map[string]any{`^access\.`: map[string]any{"type": "null"}}}},
		{name: "runtimeConfig", typ: "object", sub: runtimeShape(r), others: runtimeKey,
			doc: "When to run. Paperclip's other settings may stand here and are not used."},
		account(field{name: "user", doc: "The account that the agent runs as. Default: the daemon's own."}, &a.User),
		choice(field{name: "lifecycle", doc: "run: each heartbeat is one short run. service: one long-lived process, which a heartbeat replaces when a secret's version or this file changed, and which is started again when it ends."},
			&a.Lifecycle, []string{LifecycleRun, LifecycleService}),
		choice(field{name: "overlap", doc: "Of lifecycle run. skip: a heartbeat that is due during a run is left out. replace: it ends the run and begins another."},
			&a.Overlap, []string{OverlapSkip, OverlapReplace}),
		choice(field{name: "onRotate", doc: "Of lifecycle service. restart: a new version of a secret replaces the process. nextStart: the process gets it when it starts the next time."},
			&a.OnRotate, []string{RotateRestart, RotateNextStart}),
		choice(field{name: "onRevoke", doc: "When a secret, binding or agent is revoked. keep: what runs goes on. stop: a heartbeat ends it."},
			&a.OnRevoke, []string{RevokeKeep, RevokeStop}),
		number(field{name: "staleGraceSec", doc: "Seconds for which the last bundle may still be used while the control plane is down; never beyond its expiry. 0: no heartbeat without the control plane."},
			&r.stale, bounds{high: 7 * 86400, unit: "seconds"}),
		{name: "sandbox", typ: "object", doc: "What the agent may touch. Default: profile workspace.", sub: sandboxShape(r)},
	}
	return append(fields, unused(recordKeys(), "Part of a Paperclip agent record. Not used here.")...)
}

// recordKeys are the other keys of an agent as Paperclip's API returns it, one
// (chainOfCommand, access) or in a list, and of the reference control plane.
func recordKeys() []string {
	return []string{"urlKey", "role", "title", "icon", "status", "reportsTo", "capabilities", "defaultEnvironmentId", "budgetMonthlyCents",
		"spentMonthlyCents", "pauseReason", "pausedAt", "errorReason", "permissions", "lastHeartbeatAt", "metadata", "orgChainHealth",
		"createdAt", "updatedAt", "chainOfCommand", "access", "hostId"}
}

// unused are keys that are accepted with any value.
func unused(names []string, doc string) []field {
	fields := make([]field, len(names))
	for i, name := range names {
		fields[i] = field{name: name, doc: doc}
	}
	return fields
}

// account names a user of this host; whether there is one is not known here.
func account(f field, to *string) field {
	f = text(f, to)
	f.schema = map[string]any{"minLength": 1}
	f.set = func(d *document, n *node) {
		if *to = n.str; n.str == "" || strings.ContainsAny(n.str, ":/\n\x00") {
			d.fault(n, "must be the name of an account, got %s", n.describe())
		}
	}
	return f
}

func adapterShape(r *reading) []field {
	return []field{
		envField(r),
		number(field{name: "timeoutSec", doc: "Seconds after which a run is ended; 0 is never."}, &r.timeout, bounds{high: 7 * 86400, unit: "seconds"}),
		number(field{name: "graceSec", doc: "Seconds between SIGTERM and SIGKILL."}, &r.grace, bounds{high: 600, unit: "seconds"}),
	}
}

// adapterKey takes a field of the adapter's own. null is how Paperclip's PATCH
// leaves a key that was removed.
func (r *reading) adapterKey(d *document, n *node) {
	switch {
	case n.kind == 'n':
	case strings.HasPrefix(n.name, "access."):
		d.faultHint(n, "access.NAME delivers through Paperclip's agent API: source sealed delivers env only", "bind the secret under env")
	default:
		r.own[n.name] = json.RawMessage(n.raw)
	}
}

func runtimeShape(r *reading) []field {
	enabled := field{name: "enabled", typ: "boolean", doc: "Whether the timer starts the agent.", schema: map[string]any{"default": true},
		set: func(_ *document, n *node) { r.off = r.off || n.kind == 'f' }}
	every := number(field{name: "intervalSec", doc: "Seconds between heartbeats. 0 turns the timer off; absent, the daemon's interval holds."},
		&r.interval, bounds{low: 1, high: 7 * 86400, zero: true, unit: "seconds"})
	take := every.set
	every.set = func(d *document, n *node) {
		take(d, n)
		r.off = r.off || r.interval == 0
	}
	theirs := []string{"wakeOnDemand", "wakeOnAssignment", "wakeOnOnDemand", "wakeOnAutomation", "maxConcurrentRuns", "cooldownSec",
		"skipTimerWhenNoActionableWork", "requireActionableTimerWork", "issueOnlyTimer", "maxDailyRuns", "maxDailyCostCents"}
	return []field{{name: "heartbeat", typ: "object", doc: "The agent's heartbeat. Absent: enabled at the daemon's interval.",
		sub: append([]field{enabled, every}, unused(theirs, "A setting of Paperclip's own scheduler. Not used here.")...)}}
}

// runtimeKey lets Paperclip's other settings pass, but no misspelt heartbeat.
func runtimeKey(d *document, n *node) {
	if nearest(n.name, []field{{name: "heartbeat"}}) != "" {
		d.faultHint(n, "unknown key "+quote(n.name), "did you mean heartbeat?")
	}
}
