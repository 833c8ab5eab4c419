package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

const runID = "0197f3a0-1111-7222-8333-444455556666"

func calls() []*Call {
	return []*Call{
		{Seq: 1, Op: OpHello, Version: KeeperVersion},
		{Seq: 2, Op: OpStart, Run: runID, Start: &Start{
			User: &User{UID: 1, GID: 4294967295, Groups: []uint32{3}}, TimeoutMS: 1, GraceMS: 2, MaxLog: 3, Dirs: true,
			HomeRights: 4, TmpRights: 5, Memory: 6, Pids: 7, MilliCPU: 8,
		}},
		{Seq: 3, Op: OpStart, Run: runID, Start: &Start{}},
		{Seq: 4, Op: OpGo, Run: runID},
		{Seq: 5, Op: OpSignal, Run: runID, Signal: 15},
		{Seq: 1<<64 - 1, Op: OpQuit},
	}
}

func TestCallRoundTrip(t *testing.T) {
	for _, want := range calls() {
		got, err := DecodeCall(marshal(t, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
}

func TestCallRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"no number":        marshal(t, &Call{Op: OpHello}),
		"no op":            marshal(t, &Call{Seq: 1}),
		"unknown op":       marshal(t, &Call{Seq: 1, Op: OpQuit + 1}),
		"start of nothing": marshal(t, &Call{Seq: 1, Op: OpStart, Run: runID}),
		"start beside go":  marshal(t, &Call{Seq: 1, Op: OpGo, Run: runID, Start: &Start{}}),
		"no run":           marshal(t, &Call{Seq: 1, Op: OpGo}),
		"run is a path":    marshal(t, &Call{Seq: 1, Op: OpGo, Run: "../../../../../../../../../../../../."}),
		"run in capitals":  marshal(t, &Call{Seq: 1, Op: OpGo, Run: strings.ToUpper(runID)}),
		"trailing byte":    append(marshal(t, &Call{Seq: 1, Op: OpQuit}), 0),
		"too long":         marshal(t, &Call{Seq: 1, Op: OpStart, Run: runID, Start: &Start{User: &User{Groups: make([]uint32, 40000)}}}),
		"garbage":          []byte("GET / HTTP/1.1"),
	} {
		if c, err := DecodeCall(data); !errors.Is(err, protocol.ErrMalformed) || c != nil {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestNoticeRoundTrip(t *testing.T) {
	for _, want := range []*Notice{
		{Seq: 1, Error: "no"},
		{Seq: 1, Hello: &Hello{Version: 1, PID: 2, UID: 3, Switch: true, First: 4, Last: 5, Cgroup: "/x", Controllers: []string{"pids"}, Masker: "m"}},
		{Run: &RunNow{Run: runID, PID: 1, State: RunEnded, Status: []byte{Ready, 1}, Wait: 9, Why: WhyStop, Killed: true, Kept: 1, Lost: 2, Errno: 28}},
	} {
		got, err := DecodeNotice(marshal(t, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
	if n, err := DecodeNotice(marshal(t, &Notice{})); err == nil {
		t.Errorf("news of nothing: %+v", n)
	}
}

// FuzzDecodeCall: what a launcher that was taken over sends either is a call
// that the keeper knows, with a run id that is safe as a name, or is refused.
func FuzzDecodeCall(f *testing.F) {
	for _, c := range calls() {
		f.Add(marshal(f, c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCall(data)
		if err != nil {
			if c != nil {
				t.Error("a call beside an error")
			}
			return
		}
		if c.Run != "" && c.Op != OpHello && c.Op != OpQuit && strings.ContainsAny(c.Run, "/.\x00") {
			t.Errorf("accepted run %q", c.Run)
		}
		if !bytes.Equal(marshal(t, c), data) {
			t.Errorf("%x is another encoding of %+v", data, c)
		}
	})
}

func FuzzDecodeNotice(f *testing.F) {
	f.Add(marshal(f, &Notice{Seq: 1, Error: "no"}))
	f.Add(marshal(f, &Notice{Run: &RunNow{Run: runID}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := DecodeNotice(data); err == nil && !bytes.Equal(marshal(t, n), data) {
			t.Errorf("%x is another encoding of %+v", data, n)
		}
	})
}

// FuzzDecodeOrders: a stage's user comes out as it went in, or not at all.
func FuzzDecodeOrders(f *testing.F) {
	f.Add(marshal(f, &Orders{Keeper: 1}))
	f.Add(marshal(f, &Orders{Keeper: 1, User: &User{UID: 1, GID: 1, Groups: []uint32{1}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := DecodeOrders(data); err == nil && !bytes.Equal(marshal(t, o), data) {
			t.Errorf("%x is another encoding of %+v", data, o)
		}
	})
}
