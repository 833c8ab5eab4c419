package config

import (
	"fmt"
	"strconv"
)

// UIDRange are the uids for agents without a user, both ends included.
type UIDRange struct{ First, Last uint32 }

// maxUID is the largest: the two above it are (uid_t)-2, which many systems
// give to nobody, and (uid_t)-1, which means "unchanged" to setresuid(2).
const maxUID = 4294967293

// Masker is the uid of the masker, which reads every agent's output: none of
// the agents' own.
func (r UIDRange) Masker() uint32 { return r.Last }

// Agents is how many agents get a uid, at least 1.
func (r UIDRange) Agents() int { return int(r.Last - r.First) }

// Holds reports whether uid may be an agent's.
func (r UIDRange) Holds(uid uint32) bool { return r.First <= uid && uid < r.Last }

func (r UIDRange) String() string { return fmt.Sprintf("[%d, %d]", r.First, r.Last) }

// uidRange is an array of the first and the last uid.
func uidRange(f field, to **UIDRange) field {
	f.typ, f.want = "array", "an array of two uids"
	f.schema = map[string]any{"minItems": 2, "maxItems": 2, "items": map[string]any{"type": "integer", "minimum": 1, "maximum": maxUID}}
	f.set = func(d *document, n *node) {
		if len(n.items) != 2 {
			d.fault(n, "must be an array of two uids, got %d items", len(n.items))
			return
		}
		first, ok := uid(d, n.items[0])
		last, ok2 := uid(d, n.items[1])
		switch {
		case !ok || !ok2:
		case first >= last:
			d.faultHint(n, fmt.Sprintf("must go upwards, got [%d, %d]", first, last), "two uids at least: the last is the masker's")
		case first <= 65535 && last >= 65534:
			d.faultHint(n, "must not hold 65534 and 65535, which are nobody and no uid at all", "61184 to 65519 is free on most hosts")
		default:
			*to = &UIDRange{First: first, Last: last}
		}
	}
	return f
}

func uid(d *document, n *node) (uint32, bool) {
	v, err := strconv.ParseUint(string(n.raw), 10, 32)
	if err != nil || v < 1 || v > maxUID {
		d.fault(n, "must be a uid from 1 to %d, got %s", uint32(maxUID), n.describe())
		return 0, false
	}
	return uint32(v), true
}
