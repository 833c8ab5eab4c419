package wire

import (
	"github.com/agent-launcher/agent-launcher/protocol"
)

// Keeper and masker speak over a SOCK_SEQPACKET pair, one message per datagram,
// CBOR. The masker's end is its FDKeeper.
//
//	keeper                                               masker
//	   | fork, execve agent-launcher-stage masker -------->|
//	   |                                    confines itself: from here on it
//	   |                                    opens nothing, it only gets
//	   | <------------------------- Ready: what is enforced |
//	   | <---------- or Failed: step, code; and it is gone  |
//	   |                                                    |
//	   | Take, with three fds: pipe, log, fingerprints ---> |
//	   |                                    copies the pipe to the log, masked
//	   | <-------------------------- Done: the pipe ended   |
//	   |                                                    |
//	   | Finish: the agent is dead -----------------------> |
//	   |                                    takes what is in the pipe now,
//	   |                                    whoever still holds it open
//	   | <------------------------------------------- Done  |
//	   |                                                    |
//	   | EOF: there is no keeper any more ----------------> |
//	   |                                    copies until every pipe has
//	   |                                    ended, and exits
//
// Every Take gets exactly one Done. Finish may cross a Done: the answer for a
// run that is not, or no longer, there is a Done of zeros.

// FDKeeper is the masker's end of the pair. 0, 1 and 2 are /dev/null.
const FDKeeper = 3

// Bounds of these messages, in bytes.
const (
	MaxMaskerMessage = 1024
	MaxRun           = 64 // a run id is a UUID, 36
	MaxLevel         = 256
)

// MaskerOrder is what a keeper sends: one of these.
type MaskerOrder struct {
	Take   *Take   `cbor:"1,keyasint,omitempty"`
	Finish *Finish `cbor:"2,keyasint,omitempty"`
}

// Take hands over the output of a run. With it come three fds: the read end of
// the pipe, the log, open for writing where the next byte belongs, and a file
// with Fingerprints, empty if the run has no values.
type Take struct {
	Run  string `cbor:"1,keyasint"`
	Max  int64  `cbor:"2,keyasint"` // bytes to keep, earlier ones included; 0 or less: all
	Kept int64  `cbor:"3,keyasint"` // bytes that an earlier masker kept
	Lost int64  `cbor:"4,keyasint"` // and discarded: if any, this log has ended and nothing more is written
	Torn bool   `cbor:"5,keyasint"` // an earlier masker may have had the beginning of a value: its rest must not come out
}

// Finish says that the agent is dead.
type Finish struct {
	Run string `cbor:"1,keyasint"`
}

// MaskerReport is what a masker sends: one of these.
type MaskerReport struct {
	Ready  *MaskerReady  `cbor:"1,keyasint,omitempty"`
	Failed *MaskerFailed `cbor:"2,keyasint,omitempty"`
	Done   *Done         `cbor:"3,keyasint,omitempty"`
}

// MaskerReady is the first message of a masker that confined itself.
type MaskerReady struct {
	Level string `cbor:"1,keyasint"` // what is enforced, for status
}

// MaskerFailed is the only message of one that could not; see Failure.
type MaskerFailed struct {
	Step Step   `cbor:"1,keyasint"`
	Code uint32 `cbor:"2,keyasint"`
}

// Done says that a run's output has ended, and releases its fds.
type Done struct {
	Run   string `cbor:"1,keyasint"`
	Kept  int64  `cbor:"2,keyasint"` // bytes in the log, those of Take included
	Lost  int64  `cbor:"3,keyasint"` // bytes discarded, those of Take included
	Errno uint32 `cbor:"4,keyasint"` // why the log took no more; 0: it took all, up to Max
}

// DecodeOrder decodes a message of a keeper: one order, its bounds checked.
func DecodeOrder(data []byte) (*MaskerOrder, error) {
	var o MaskerOrder
	if err := protocol.Unmarshal(data, MaxMaskerMessage, &o); err != nil {
		return nil, err
	}
	switch {
	case o.Take != nil && o.Finish == nil && isRun(o.Take.Run) && o.Take.Kept >= 0 && o.Take.Lost >= 0:
	case o.Finish != nil && o.Take == nil && isRun(o.Finish.Run):
	default:
		return nil, protocol.ErrMalformed
	}
	return &o, nil
}

// DecodeReport decodes a message of a masker: one report, its bounds checked.
func DecodeReport(data []byte) (*MaskerReport, error) {
	var r MaskerReport
	if err := protocol.Unmarshal(data, MaxMaskerMessage, &r); err != nil {
		return nil, err
	}
	ready, failed, done := r.Ready != nil, r.Failed != nil, r.Done != nil
	switch {
	case ready && !failed && !done && len(r.Ready.Level) <= MaxLevel:
	case failed && !ready && !done:
	case done && !ready && !failed && isRun(r.Done.Run) && r.Done.Kept >= 0 && r.Done.Lost >= 0:
	default:
		return nil, protocol.ErrMalformed
	}
	return &r, nil
}

func isRun(s string) bool { return len(s) > 0 && len(s) <= MaxRun }
