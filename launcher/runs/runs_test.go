package runs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "runs")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func begin(t *testing.T, s *Store, state State) *Run {
	t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	log(t, s, id)
	run, err := s.Begin(Record{RunID: id, Agent: "a", State: state, StartedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Close() })
	return run
}

func log(t *testing.T, s *Store, runID string) {
	t.Helper()
	log, err := s.CreateLog("a", runID)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLock(t *testing.T) {
	s, _ := open(t)
	lock, err := s.Lock("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock("a"); !errors.Is(err, ErrBusy) {
		t.Errorf("twice: %v", err)
	}
	other, err := s.Lock("b")
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Close()
	_ = lock.Close()
	if lock, err = s.Lock("a"); err != nil {
		t.Error(err)
	}
	_ = lock.Close()
}

func TestRecordSurvives(t *testing.T) {
	s, dir := open(t)
	run := begin(t, s, Starting)
	if err := run.Update(func(r *Record) { r.State = Running; r.PID = 7 }); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	left, err := again.Unfinished()
	if err != nil || len(left) != 1 || left[0].PID != 7 || left[0].State != Running {
		t.Fatalf("unfinished: %+v, %v", left, err)
	}
	resumed, err := again.Resume(left[0])
	if err != nil {
		t.Fatal(err)
	}
	defer resumed.Close()
	if err := resumed.Update(func(r *Record) { r.State = Lost }); err != nil {
		t.Fatal(err)
	}
	if left, err = again.Unfinished(); err != nil || len(left) != 0 {
		t.Fatalf("unfinished after the end: %+v, %v", left, err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	s, dir := open(t)
	begin(t, s, Running)
	lock, err := s.Lock("a")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A kill -9 can cut the last line anywhere: what was complete before it holds.
func TestCutLine(t *testing.T) {
	s, dir := open(t)
	run := begin(t, s, Starting)
	rec := run.Record()
	path := filepath.Join(dir, "a", rec.RunID+".jsonl")
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Update(func(r *Record) { r.State = Running }); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(all); cut++ {
		if err := os.WriteFile(path, all[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := s.List("a")
		want := map[bool]State{false: Starting, true: Running}[cut == len(all)]
		switch {
		case err != nil:
			t.Fatal(err)
		case cut < len(first) && len(records) != 0:
			t.Fatalf("cut at %d: a record that was never complete is listed", cut)
		case cut >= len(first) && (len(records) != 1 || records[0].State != want):
			t.Fatalf("cut at %d: %+v, want state %s", cut, records, want)
		}
	}
	if err := os.WriteFile(path, all[:len(all)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	resumed, err := s.Resume(rec)
	if err != nil {
		t.Fatal(err)
	}
	defer resumed.Close()
	if err := resumed.Update(func(r *Record) { r.State = Lost }); err != nil {
		t.Fatal(err)
	}
	if records, _ := s.List("a"); len(records) != 1 || records[0].State != Lost {
		t.Fatalf("after a resume on a cut line: %+v", records)
	}
}

func TestPrune(t *testing.T) {
	const keep = 20
	s, dir := open(t)
	old := begin(t, s, Running) // the oldest, and not done: it must stay
	for range keep + 10 {
		begin(t, s, Ended)
	}
	if err := s.Prune("a", keep); err != nil {
		t.Fatal(err)
	}
	records, err := s.List("a")
	if err != nil || len(records) != keep+1 || records[0].RunID != old.Record().RunID {
		t.Fatalf("%d records, %v", len(records), err)
	}
	// A kill between a log and its record leaves the log alone; a newer one may
	// be about to get its record.
	stray, fresh := "00000000-0000-7000-8000-000000000000", uuid.Must(uuid.NewV7()).String()
	log(t, s, stray)
	log(t, s, fresh)
	if err := s.Prune("a", keep); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenLog("a", stray); err == nil {
		t.Error("a log without a record stays")
	}
	s.RemoveLog("a", fresh)
	logs, _ := filepath.Glob(filepath.Join(dir, "a", "*.log"))
	if len(logs) != keep+1 {
		t.Fatalf("%d logs", len(logs))
	}
}

func TestHeld(t *testing.T) {
	s, dir := open(t)
	for _, held := range []bool{true, true, false, false} {
		if err := s.SetHeld("a", held); err != nil {
			t.Fatal(err)
		}
		again, err := Open(dir)
		if err != nil || again.Held("a") != held {
			t.Fatalf("held is %v after a restart, want %v (%v)", again.Held("a"), held, err)
		}
	}
}

// Names become parts of paths, and records name other files: neither leads out
// of the agent's directory.
func TestNamesStayInside(t *testing.T) {
	s, dir := open(t)
	run := begin(t, s, Ended)
	id := run.Record().RunID
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.MkdirAll(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../outside", "..", ".", "", "/etc", "a/b", ".hidden", "a\x00", strings.Repeat("a", 65)} {
		if records, err := s.List(name); !errors.Is(err, ErrName) || records != nil {
			t.Errorf("List(%q): %v, %v", name, records, err)
		}
		if _, err := s.OpenLog(name, id); !errors.Is(err, ErrName) {
			t.Errorf("OpenLog(%q): %v", name, err)
		}
		if err := s.SetHeld(name, true); !errors.Is(err, ErrName) {
			t.Errorf("SetHeld(%q): %v", name, err)
		}
	}
	if _, err := s.OpenLog("a", "../../outside/x"); !errors.Is(err, ErrName) {
		t.Errorf("a run id that is a path: %v", err)
	}
	secret := filepath.Join(outside, "key")
	if err := os.WriteFile(secret, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "a", id+".log")
	if err := errors.Join(os.Remove(log), os.Symlink(secret, log)); err != nil {
		t.Fatal(err)
	}
	if f, err := s.OpenLog("a", id); err == nil {
		_ = f.Close()
		t.Error("a log that is a link is followed")
	}
	// A record that claims to be another run's or agent's is not believed.
	forged := `{"runId":"other","agent":"a","state":"ended"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "a", "0197c0de-0000-7000-8000-000000000001.jsonl"), []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if records, err := s.List("a"); err != nil || len(records) != 1 || records[0].RunID != id {
		t.Errorf("%+v, %v", records, err)
	}
}

// A line torn by a full disk does not hide what was written before it, nor do
// files that are none of ours hide the runs to adopt.
func TestTornAndStray(t *testing.T) {
	s, dir := open(t)
	run := begin(t, s, Running)
	path := filepath.Join(dir, "a", run.Record().RunID+".jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"runId":"torn {"runId":"x","state":"ended"}` + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600), os.Mkdir(filepath.Join(dir, "b c"), 0o700)); err != nil {
		t.Fatal(err)
	}
	left, err := s.Unfinished()
	if len(left) != 1 || left[0].State != Running {
		t.Errorf("%+v, %v", left, err)
	}
}
