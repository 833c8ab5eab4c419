package masker

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
