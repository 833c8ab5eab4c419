package uids

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// TestMain also makes this binary the process that TestKill kills.
func TestMain(m *testing.M) {
	if file := os.Getenv("UIDS_GIVE_ALL"); file != "" {
		os.Exit(giveAll(file))
	}
	os.Exit(m.Run())
}

// free is a range in which no host has accounts.
var free = config.UIDRange{First: 3_000_000_000, Last: 3_000_000_004}

func open(t testing.TB, file string, r config.UIDRange) *Table {
	t.Helper()
	table, err := Open(file, r)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "uids.json") }

func TestEachItsOwnForGood(t *testing.T) {
	f := file(t)
	table := open(t, f, free)
	if _, known, err := table.Look("a"); known || err != nil {
		t.Errorf("known before it was given: %v", err)
	}
	for i, id := range []string{"a", "b", "c", "d"} {
		if uid, err := table.For(id); err != nil || uid != free.First+uint32(i) {
			t.Errorf("%s: %d, %v", id, uid, err)
		}
	}
	info, err := os.Stat(f)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if uid, err := table.For("e"); err == nil || !strings.Contains(err.Error(), "uidRange is used up: 4 uids") {
		t.Errorf("a uid that is not there: %d, %v", uid, err)
	}
	if uid, err := open(t, f, free).For("b"); err != nil || uid != free.First+1 {
		t.Errorf("after a restart: %d, %v", uid, err)
	}
	wider := config.UIDRange{First: free.First - 1, Last: free.Last}
	if uid, err := open(t, f, wider).For("e"); err != nil || uid != free.First-1 {
		t.Errorf("in a wider range: %d, %v", uid, err)
	}
}

// A range that was moved is no reason to take an agent's files away from it.
func TestRangeMoved(t *testing.T) {
	f := file(t)
	uid, err := open(t, f, free).For("a")
	if err != nil {
		t.Fatal(err)
	}
	moved := open(t, f, config.UIDRange{First: uid + 1, Last: uid + 9})
	var outside *OutsideError
	if _, err := moved.For("a"); !errors.As(err, &outside) || outside.UID != uid || outside.Agent != "a" {
		t.Errorf("%v", err)
	}
	if got, err := moved.For("b"); err != nil || got != uid+1 {
		t.Errorf("%d, %v", got, err)
	}
	masker := open(t, f, config.UIDRange{First: uid - 1, Last: uid})
	if _, err := masker.For("a"); !errors.As(err, &outside) {
		t.Errorf("an agent with the masker's uid: %v", err)
	}
}

// What the table does not know may still lie on disk.
func TestTakenOtherwise(t *testing.T) {
	f := file(t)
	if _, err := user.LookupId("1"); err != nil {
		t.Skip("this host has no account with uid 1")
	}
	home := filepath.Join(filepath.Dir(f), "agents", "gone", "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]config.UIDRange{
		"a HOME of an agent that is gone": {First: uint32(os.Geteuid()), Last: uint32(os.Geteuid()) + 1},
		"an account":                      {First: 1, Last: 2},
	} {
		if r.First == 0 { // config refuses it
			if err := os.Lchown(home, int(free.First), -1); err != nil {
				t.Fatal(err)
			}
			r = config.UIDRange{First: free.First, Last: free.First + 1}
		}
		if uid, err := open(t, f, r).For("a"); err == nil {
			t.Errorf("%s: uid %d was given", name, uid)
		}
	}
}

func TestDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "zeros": "\x00\x00\x00", "cut": `{"version":1,"agents":{"a":61184`, "another program's": `{"uids": []}`, "more": `{"version":1,"agents":{}} x`,
		"of the future": `{"version":2,"agents":{}}`, "no agents": `{"version":1}`, "null": `null`, "unknown key": `{"version":1,"agents":{},"x":1}`,
		"given twice": `{"version":1,"agents":{"a":7,"b":7}}`, "twice in it": `{"version":1,"agents":{"a":7,"a":8}}`, "root": `{"version":1,"agents":{"a":0}}`,
		"negative": `{"version":1,"agents":{"a":-1}}`, "too large": `{"version":1,"agents":{"a":4294967296}}`, "no id": `{"version":1,"agents":{"":7}}`,
	} {
		f := file(t)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, name, f)
		if after, err := os.ReadFile(f); err != nil || string(after) != text {
			t.Errorf("%s: the file was changed: %q, %v", name, after, err)
		}
	}
	link, dir, writable := file(t), file(t), file(t)
	for _, err := range []error{os.Symlink("/nowhere", link), os.Mkdir(dir, 0o700), os.WriteFile(writable, []byte(`{"version":1,"agents":{}}`), 0o600), os.Chmod(writable, 0o666)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	checkRefused(t, "a dangling link", link)
	checkRefused(t, "a directory", dir)
	checkRefused(t, "writable by others", writable)
}

func checkRefused(t *testing.T, name, f string) {
	t.Helper()
	var bad *FileError
	if _, err := Open(f, free); !errors.As(err, &bad) || !strings.Contains(bad.Error(), f) || bad.Hint() == "" {
		t.Errorf("%s: %v", name, err)
	}
	if uid, err := (&Table{f, free}).For("x"); !errors.As(err, &bad) {
		t.Errorf("%s: uid %d, %v", name, uid, err)
	}
}

// Many tables on one file, as of a daemon and of exec.
func TestAtTheSameTime(t *testing.T) {
	f := file(t)
	wide := config.UIDRange{First: free.First, Last: free.First + 1000}
	var mu sync.Mutex
	owner := map[uint32]string{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			table := &Table{f, wide}
			for i := range 20 {
				id := fmt.Sprintf("agent-%d", (i+g)%30)
				uid, err := table.For(id)
				mu.Lock()
				if other := owner[uid]; err != nil || other != "" && other != id {
					t.Errorf("uid %d is of %s and %s: %v", uid, other, id, err)
				}
				owner[uid] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// Whatever agents come, in whatever order, over whatever restarts: no uid is
// ever of two, and none changes.
func TestProperty(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		f := filepath.Join(dir, fmt.Sprint(n)+".json")
		r := config.UIDRange{First: free.First, Last: free.First + rapid.Uint32Range(1, 6).Draw(t, "width")}
		mine, owner := map[string]uint32{}, map[uint32]string{}
		for range rapid.IntRange(0, 20).Draw(t, "calls") {
			id := rapid.StringMatching(`[A-Za-z0-9_-][A-Za-z0-9._:-]{0,2}`).Draw(t, "id")
			table, err := Open(f, r)
			if err != nil {
				t.Fatal(err)
			}
			uid, err := table.For(id)
			before, known := mine[id]
			switch {
			case err != nil && !known && len(mine) == r.Agents(): // used up
			case err != nil || known && uid != before || !known && owner[uid] != "" || !r.Holds(uid):
				t.Fatalf("%s: uid %d, before %d, of %q: %v", id, uid, before, owner[uid], err)
			default:
				mine[id], owner[uid] = uid, id
			}
		}
	})
}
