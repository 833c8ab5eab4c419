package controlplane

import (
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// mask stands for every plain env value that is read back, as in Paperclip.
const mask = "***REDACTED***"

const envPath = "adapterConfig.env"

// Types of an env value.
const (
	typePlain = "plain"
	typeRef   = "secret_ref"
)

type object = map[string]jsontext.Value

// refJSON is a secret ref. The projection fields are what Paperclip adds to
// every stored ref; only the values that mean nothing are accepted.
type refJSON struct {
	Type       string           `json:"type"`
	SecretID   optional[string] `json:"secretId"`
	Version    jsontext.Value   `json:"version,omitzero"`
	Projection optional[string] `json:"projectionClass,omitzero"`
	Allowlist  optional[string] `json:"projectionAllowlistKey,omitzero"`
}

type plainJSON struct {
	Type  string           `json:"type"`
	Value optional[string] `json:"value"`
}

// checkEnv checks adapterConfig.env and returns its secret refs, sorted by
// name.
func (p *problems) checkEnv(raw jsontext.Value) []protocol.Binding {
	var env object
	if len(raw) == 0 || raw.Kind() == jsontext.KindNull {
		return nil
	}
	if json.Unmarshal(raw, &env) != nil {
		p.addShape(envPath, "must be an object")
		return nil
	}
	var refs []protocol.Binding
	for _, name := range sortedKeys(env) {
		if b, ok := p.checkEntry(name, env[name]); ok {
			refs = append(refs, b)
		}
	}
	if len(refs) > protocol.MaxRefs {
		p.addMeaning(envPath, "%d secret refs: the limit is %d", len(refs), protocol.MaxRefs)
	}
	return refs
}

func sortedKeys(m object) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// checkEntry checks one env value and returns its ref if it is a good one.
func (p *problems) checkEntry(name string, raw jsontext.Value) (protocol.Binding, bool) {
	path := envPath + "." + cut(name, 64)
	switch raw.Kind() {
	case jsontext.KindString:
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			p.addShape(path, "not a valid string")
		}
		p.checkPlain(path, name, value)
		return protocol.Binding{}, false
	case jsontext.KindBeginObject:
	default:
		p.addShape(path, "must be a string or an object with a type")
		return protocol.Binding{}, false
	}
	var typed struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &typed); err != nil {
		p.addShape(path+".type", "must be a string")
		return protocol.Binding{}, false
	}
	switch typed.Type {
	case typePlain:
		p.checkPlainObject(path, name, raw)
	case typeRef:
		return p.checkRef(path, name, raw)
	default:
		p.checkType(path, typed.Type)
	}
	return protocol.Binding{}, false
}

// checkType says who owns what is kept elsewhere.
func (p *problems) checkType(path, t string) {
	lower := strings.ToLower(t)
	switch {
	case t == "":
		p.addShape(path+".type", "is required: plain or secret_ref")
	case t == "user_secret_ref":
		p.addMeaning(path, "user_secret_ref is not served here: Paperclip itself delivers the secrets of a user")
	case strings.Contains(lower, "composio"), strings.Contains(lower, "connection"), strings.Contains(lower, "oauth"), strings.Contains(lower, "connected"):
		p.addMeaning(path, "%q is not served here: connections and OAuth grants belong to Composio", cut(t, 64))
	default:
		p.addMeaning(path, "%q is not a type of env value: it must be plain or secret_ref", cut(t, 64))
	}
}

func (p *problems) checkPlainObject(path, name string, raw jsontext.Value) {
	var v plainJSON
	if err := json.Unmarshal(raw, &v, json.RejectUnknownMembers(true)); err != nil {
		p.addEntry(path, err)
		return
	}
	if required(p, path+".value", v.Value) {
		p.checkPlain(path, name, v.Value.value)
	}
}

func (p *problems) checkPlain(path, name, value string) {
	if err := protocol.CheckEnvName(name); err != nil {
		p.addMeaning(path, "%s", cut(err.Error(), 300))
	} else if protocol.Reserved(name) {
		p.addMeaning(path, "names that begin with PAPERCLIP_ are set by the launcher")
	}
	if strings.IndexByte(value, 0) >= 0 {
		p.addShape(path, "must not hold a NUL character: no environment can carry it")
	}
	if value == mask {
		p.addMeaning(path, "%s is what reads show in place of a plain value: give the value itself", mask)
	}
}

func (p *problems) checkRef(path, name string, raw jsontext.Value) (protocol.Binding, bool) {
	var v refJSON
	if err := json.Unmarshal(raw, &v, json.RejectUnknownMembers(true)); err != nil {
		p.addEntry(path, err)
		return protocol.Binding{}, false
	}
	before := len(p.shape) + len(p.meaning)
	if err := protocol.CheckSecretName(name); err != nil {
		p.addMeaning(path, "%s", cut(err.Error(), 300))
	}
	if required(p, path+".secretId", v.SecretID) && !isUUID(v.SecretID.value) {
		p.addShape(path+".secretId", "must be a UUID")
	}
	version, ok := parseVersion(v.Version)
	if !ok {
		p.addShape(path+".version", `must be "latest" or a number from 1 to %d`, uint32(math.MaxUint32))
	}
	if v.Projection.set && v.Projection.value != "unclassified" || v.Allowlist.set {
		p.addMeaning(path, "projection classes are not enforced here: leave projectionClass and projectionAllowlistKey out")
	}
	return protocol.Binding{Name: name, SecretID: strings.ToLower(v.SecretID.value), Version: version}, before == len(p.shape)+len(p.meaning)
}

func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// parseVersion: absent and "latest" are Latest. 3.0 and "3" are refused, as in
// Paperclip.
func parseVersion(raw jsontext.Value) (protocol.Selector, bool) {
	if len(raw) == 0 || string(raw) == `"latest"` {
		return protocol.Latest, true
	}
	var n uint32
	if raw.Kind() != jsontext.KindNumber || json.Unmarshal(raw, &n) != nil || n == 0 {
		return 0, false
	}
	return protocol.Selector(n), true
}

// addEntry reports an env object that does not decode.
func (p *problems) addEntry(path string, err error) {
	d := explain(err)
	if d.Path != "" {
		path += "." + d.Path
	}
	p.addShape(path, "%s", d.Message)
}

// bindings reads the secret refs of a stored adapterConfig.
func bindings(adapterConfig []byte) ([]protocol.Binding, error) {
	var config object
	if err := json.Unmarshal(adapterConfig, &config); err != nil {
		return nil, err
	}
	var p problems
	refs := p.checkEnv(config["env"])
	return refs, p.err()
}

// masked returns an adapterConfig with every plain env value masked.
func masked(adapterConfig []byte) (jsontext.Value, error) {
	var config object
	if err := json.Unmarshal(adapterConfig, &config); err != nil {
		return nil, err
	}
	var env object
	if raw := config["env"]; raw.Kind() != jsontext.KindBeginObject {
		return adapterConfig, nil
	} else if err := json.Unmarshal(raw, &env); err != nil {
		return nil, err
	}
	for name, raw := range env {
		switch {
		case raw.Kind() == jsontext.KindString:
			env[name] = jsontext.Value(`"` + mask + `"`)
		case !isRef(raw):
			env[name] = jsontext.Value(`{"type":"` + typePlain + `","value":"` + mask + `"}`)
		}
	}
	var err error
	if config["env"], err = json.Marshal(env, json.Deterministic(true)); err != nil {
		return nil, err
	}
	return json.Marshal(config, json.Deterministic(true))
}

func isRef(raw jsontext.Value) bool {
	var v refJSON
	return json.Unmarshal(raw, &v) == nil && v.Type == typeRef
}
