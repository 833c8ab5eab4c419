package adaptertest

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// maxMutations bounds how many are tried of each case.
const maxMutations = 1000

// mutations are odd configurations near to a good one, always the same.
func mutations(config string) []string {
	out := []string{"", "{", "null", "[]", `"x"`, "7", "{}", `{"a":{"a":{"a":[[[[]]]]}}}`, `{"":""}`, "{\"\\u0000\":1}", "\xff",
		strings.Replace(config, "{", `{"adaptertestUnknown":1,`, 1), config + config, strings.TrimSuffix(config, "}")}
	var root any
	if json.Unmarshal([]byte(config), &root) != nil {
		return out
	}
	var near []string
	vary(root, func(v any) {
		if text, err := json.Marshal(v); err == nil {
			near = append(near, string(text))
		}
	})
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(near), func(i, j int) { near[i], near[j] = near[j], near[i] })
	return append(out, near[:min(len(near), maxMutations-len(out))]...)
}

// oddRequests are those of a case that was woken oddly, or whose last run left
// odd things.
func oddRequests(c *Case) (out []*adapterpb.PlanRequest) {
	for _, text := range []string{"", "-", "--help", "../x", "a b", "\n", "{}", "null", `{"a":{"a":[null,1e999]}}`, "\u202e", strings.Repeat("x", adapter.MaxSessionID)} {
		r := c.request()
		r.Task, r.Wake, r.Session = text, []byte(text), &adapterpb.Session{Id: text, State: []byte(text)}
		out = append(out, r)
		if c.Session != nil {
			r := c.request()
			r.Session.Id = text
			out = append(out, r)
		}
	}
	return out
}

// odd are values in place of others.
func odd() []any {
	return []any{nil, true, 0, -1, 0.5, 1e300, "", " ", "\x00", "../x", "/", "a b", "$HOME", "{{.}}", "\u202e", strings.Repeat("x", 64<<10),
		[]any{}, []any{nil}, []any{"a", 1}, map[string]any{}, map[string]any{"a": nil}}
}

// vary calls each with v changed in one place.
func vary(v any, each func(any)) {
	for _, o := range odd() {
		each(o)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			without := maps.Clone(v)
			delete(without, name)
			each(without)
			vary(v[name], func(inner any) {
				changed := maps.Clone(v)
				changed[name] = inner
				each(changed)
			})
		}
	case []any:
		for i := range v {
			each(slices.Delete(slices.Clone(v), i, i+1))
			vary(v[i], func(inner any) {
				changed := slices.Clone(v)
				changed[i] = inner
				each(changed)
			})
		}
	}
}
