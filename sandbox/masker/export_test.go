package masker

import "github.com/agent-launcher/agent-launcher/sandbox/wire"

// What the tests attack from inside, in processes of their own.
var (
	Confine  = confine
	Landlock = landlock
	Filter   = filter
	Handled  = handled
)

// Sizes and numbers that tests need to know.
const (
	Chunk     = chunk
	AuditArch = auditArch
)

// Mask is what one run's output goes through, without the processes around it.
type Mask struct{ m *mask }

// NewMask makes one.
func NewMask(f *wire.Fingerprints) Mask { return Mask{newMask(f)} }

// Feed is mask.feed.
func (m Mask) Feed(data []byte, end bool, emit func([]byte)) int { return m.m.feed(data, end, emit) }

// MaxHeld is how much may be held back.
const MaxHeld = maxHeld
