package tree

import (
	"os"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const rest = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 987 20 21\n"
	line := func(start, fields string) string { return start + fields + rest[strings.Index(rest, " 2"):] }
	for name, test := range map[string]struct {
		line string
		want process
		fail bool
	}{
		"ordinary":          {line: line("7 (cat)", " S 3"), want: process{7, 3, 'S', 1, 987}},
		"spaces":            {line: line("7 (a b)", " R 3"), want: process{7, 3, 'R', 1, 987}},
		"forged parent":     {line: line("7 (x) S 1 (y)", " R 3"), want: process{7, 3, 'R', 1, 987}},
		"forged line":       {line: line("7 (x) S 1\n8 (y)", " R 3"), want: process{7, 3, 'R', 1, 987}},
		"only parentheses":  {line: line("7 ()))", " Z 3"), want: process{7, 3, 'Z', 1, 987}},
		"empty":             {line: "", fail: true},
		"no name":           {line: "7 cat S 3", fail: true},
		"cut":               {line: "7 (cat) S 3 1 1", fail: true},
		"parent no number":  {line: line("7 (cat)", " S x"), fail: true},
		"state of two":      {line: line("7 (cat)", " SS 3"), fail: true},
		"number no number":  {line: line("x (cat)", " S 3"), fail: true},
		"ends in the name ": {line: "7 (cat)", fail: true},
	} {
		got, err := parse([]byte(test.line))
		if (err != nil) != test.fail || !test.fail && got != test.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestAlive(t *testing.T) {
	for _, test := range []struct {
		state   byte
		threads int
		want    bool
	}{{'R', 1, true}, {'T', 1, true}, {'D', 9, true}, {'Z', 1, false}, {'Z', 0, false}, {'Z', 2, true}, {'X', 0, false}} {
		if p := (process{state: test.state, threads: test.threads}); p.alive() != test.want {
			t.Errorf("%c with %d threads: alive is %t", test.state, test.threads, p.alive())
		}
	}
}

func TestStart(t *testing.T) {
	ours, err := Start(os.Getpid())
	parents, err2 := Start(os.Getppid())
	if err != nil || err2 != nil || parents > ours || ours == 0 {
		t.Errorf("we at %d, our parent at %d: %v, %v", ours, parents, err, err2)
	}
	if _, err := Start(1 << 22); err == nil {
		t.Error("a process that cannot be")
	}
}
