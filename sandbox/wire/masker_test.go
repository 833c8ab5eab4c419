package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := protocol.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// orders and reports are good messages, the largest among them.
func orders() []*MaskerOrder {
	long := strings.Repeat("r", MaxRun)
	return []*MaskerOrder{
		{Take: &Take{Run: "r"}},
		{Take: &Take{Run: long, Max: 1<<63 - 1, Kept: 1<<63 - 1, Lost: 1<<63 - 1}},
		{Take: &Take{Run: "r", Max: -1, Torn: true}},
		{Finish: &Finish{Run: long}},
	}
}

func reports() []*MaskerReport {
	long := strings.Repeat("r", MaxRun)
	return []*MaskerReport{
		{Ready: &MaskerReady{}},
		{Ready: &MaskerReady{Level: strings.Repeat("l", MaxLevel)}},
		{Failed: &MaskerFailed{Step: StepProof, Code: CodeNotConfined}},
		{Done: &Done{Run: long, Kept: 1<<63 - 1, Lost: 1<<63 - 1, Errno: 1<<32 - 1}},
	}
}

func TestMaskerRoundTrip(t *testing.T) {
	for _, want := range orders() {
		if got, err := DecodeOrder(marshal(t, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, want := range reports() {
		if got, err := DecodeReport(marshal(t, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestMaskerRefused(t *testing.T) {
	take, finish, done := &Take{Run: "r"}, &Finish{Run: "r"}, &Done{Run: "r"}
	for name, data := range map[string][]byte{
		"empty":        {},
		"no map":       {0x01},
		"nothing":      {0xa0},
		"null":         {0xa1, 0x01, 0xf6},
		"unknown key":  {0xa1, 0x04, 0xa1, 0x01, 0x61, 'r'},
		"two orders":   marshal(t, MaskerOrder{Take: take, Finish: finish}),
		"no run":       marshal(t, MaskerOrder{Take: &Take{}}),
		"whose end":    marshal(t, MaskerOrder{Finish: &Finish{}}),
		"long run":     marshal(t, MaskerOrder{Take: &Take{Run: strings.Repeat("r", MaxRun+1)}}),
		"kept < 0":     marshal(t, MaskerOrder{Take: &Take{Run: "r", Kept: -1}}),
		"lost < 0":     marshal(t, MaskerOrder{Take: &Take{Run: "r", Lost: -1}}),
		"trailing":     append(marshal(t, MaskerOrder{Take: take}), 0),
		"two reports":  marshal(t, MaskerReport{Ready: &MaskerReady{}, Done: done}),
		"long level":   marshal(t, MaskerReport{Ready: &MaskerReady{Level: strings.Repeat("l", MaxLevel+1)}}),
		"done of none": marshal(t, MaskerReport{Done: &Done{}}),
		"done, kept<0": marshal(t, MaskerReport{Done: &Done{Run: "r", Kept: -1}}),
		"too large":    make([]byte, MaxMaskerMessage+1),
	} {
		if o, err := DecodeOrder(data); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("order, %s: %+v, %v", name, o, err)
		}
		if r, err := DecodeReport(data); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("report, %s: %+v, %v", name, r, err)
		}
	}
}

// FuzzMasker: what decodes is one message within its bounds, and is encoded to
// the same bytes.
func FuzzMasker(f *testing.F) {
	for _, o := range orders() {
		f.Add(marshal(f, o))
	}
	for _, r := range reports() {
		f.Add(marshal(f, r))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := DecodeOrder(data); err == nil {
			if (o.Take == nil) == (o.Finish == nil) || !bytes.Equal(marshal(t, o), data) {
				t.Errorf("%x: %+v", data, o)
			}
		}
		if r, err := DecodeReport(data); err == nil {
			if r.Ready == nil && r.Failed == nil && r.Done == nil || !bytes.Equal(marshal(t, r), data) {
				t.Errorf("%x: %+v", data, r)
			}
		}
	})
}
