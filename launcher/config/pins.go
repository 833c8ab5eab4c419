package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

const sumPattern = `^[0-9a-fA-F]{64}$`

// pins is an object of plugins by their names, each with the hash that its
// file must have.
func pins(f field, to *map[string][sha256.Size]byte) field {
	f.typ = "object"
	f.schema = map[string]any{
		"propertyNames":        map[string]any{"pattern": typePattern, "maxLength": maxType},
		"additionalProperties": objectSchema(pinShape(new([sha256.Size]byte)), false, false),
	}
	f.others = func(d *document, n *node) {
		var sum [sha256.Size]byte
		switch {
		case len(n.name) > maxType || !regexp.MustCompile(typePattern).MatchString(n.name):
			d.fault(n, "is under a name that no plugin has: 1 to %d of a-z, 0-9 and _", maxType)
		case n.kind != '{':
			d.faultHint(n, "must be an object, got "+n.describe(), `write {"sha256": "..."}`)
		default:
			d.read(n, pinShape(&sum), nil)
			if *to == nil {
				*to = map[string][sha256.Size]byte{}
			}
			(*to)[n.name] = sum
		}
	}
	return f
}

func pinShape(sum *[sha256.Size]byte) []field {
	f := text(field{name: "sha256", required: true, doc: "The SHA-256 of the plugin's file, 64 hex digits as sha256sum prints them."}, new(string))
	f.schema = map[string]any{"pattern": sumPattern}
	f.set = func(d *document, n *node) {
		got, err := hex.DecodeString(n.str)
		if copy(sum[:], got); err == nil && len(got) == len(sum) {
			return
		}
		d.faultHint(n, "must be the 64 hex digits of a SHA-256, got "+n.describe(), "sha256sum FILE prints them")
	}
	return []field{f}
}

// Pinned are the names of the plugins that must have a certain hash, in order.
func (c *Config) Pinned() []string { return slices.Sorted(maps.Keys(c.Pins)) }

// PinPath is the place of a plugin's pin in config.json.
func PinPath(plugin string) string { return fmt.Sprintf("$.plugins%s.sha256", segment(plugin)) }
