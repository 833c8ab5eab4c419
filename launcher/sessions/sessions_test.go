package sessions

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

const agent = "0197c0de-0000-7000-8000-00000000000a"

func TestSessions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	put := func(task, id string) {
		t.Helper()
		if err := s.Put(agent, Session{Session: runs.Session{ID: id, State: []byte{0, 0xff}}, Task: task, AdapterType: "x", Refs: []runs.Ref{}}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(adapterType, task, want string) {
		t.Helper()
		got, err := s.Get(agent, adapterType, task)
		if err != nil || (got == nil) != (want == "") || got != nil && (got.ID != want || string(got.State) != "\x00\xff") {
			t.Errorf("%s, task %q: %+v, %v; want %q", adapterType, task, got, err, want)
		}
	}
	get("x", "", "")
	put("", "one")
	put("t", "two")
	put("", "three")
	get("x", "", "three")
	get("x", "t", "two")
	get("y", "t", "")
	if err := s.Drop(agent, "t"); err != nil {
		t.Error(err)
	}
	get("x", "t", "")
	for i := range Keep + 5 {
		put(fmt.Sprint(i), "id")
	}
	get("x", "", "") // the oldest goes
	get("x", "5", "id")
	if names, _ := filepath.Glob(dir + "/*"); len(names) != 1 {
		t.Errorf("%v is left", names)
	}
}

// A file that is broken costs the session, and no more.
func TestBrokenFile(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", "[", `{"a":1}`, `[{"id":`} {
		if err := os.WriteFile(filepath.Join(dir, agent+".json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := s.Get(agent, "x", ""); x != nil || err == nil {
			t.Errorf("%q: %+v, %v", content, x, err)
		}
		if err := s.Put(agent, Session{Session: runs.Session{ID: "id"}, AdapterType: "x"}); err != nil {
			t.Errorf("%q: %v", content, err)
		}
		if x, err := s.Get(agent, "x", ""); err != nil || x == nil {
			t.Errorf("after %q: %+v, %v", content, x, err)
		}
	}
	for _, id := range []string{"", "../x", "a/b"} {
		if err := s.Put(id, Session{}); err == nil {
			t.Errorf("%q is an agent id", id)
		}
	}
}
