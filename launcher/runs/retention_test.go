package runs

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// idAt is a run id that was made then.
func idAt(at time.Time) string {
	u := uuid.Must(uuid.NewV7())
	ms := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	copy(u[:6], ms[2:])
	return u.String()
}

// What is too old goes, then the oldest until the rest fits; never what goes on, nor
// an agent's last.
func TestRetain(t *testing.T) {
	now := time.Now()
	type run struct {
		agent string
		days  int
		size  int
		state State
	}
	for name, c := range map[string]struct {
		runs []run
		days int
		size int64
		left []string // agent and age
	}{
		"no bounds":         {[]run{{"a", 900, 10, Ended}, {"a", 1, 10, Ended}}, 0, 0, []string{"a 1", "a 900"}},
		"age":               {[]run{{"a", 40, 10, Ended}, {"a", 31, 10, Failed}, {"a", 29, 10, Ended}}, 30, 0, []string{"a 29"}},
		"an agent's last":   {[]run{{"a", 900, 10, Ended}, {"b", 800, 10, Ended}}, 30, 5, []string{"a 900", "b 800"}},
		"what goes on":      {[]run{{"a", 900, 10, Running}, {"a", 800, 10, Ended}, {"a", 1, 10, Ended}}, 30, 0, []string{"a 1", "a 900"}},
		"size, over agents": {[]run{{"a", 9, 10, Ended}, {"b", 8, 10, Ended}, {"a", 7, 10, Ended}, {"b", 6, 10, Ended}, {"a", 5, 10, Ended}, {"b", 4, 10, Ended}}, 0, 35, []string{"a 5", "b 4", "b 6"}},
		"size that fits":    {[]run{{"a", 9, 10, Ended}, {"a", 8, 10, Ended}}, 0, 20, []string{"a 8", "a 9"}},
		"both":              {[]run{{"a", 40, 99, Ended}, {"a", 9, 10, Ended}, {"a", 8, 10, Ended}, {"a", 7, 10, Ended}}, 30, 20, []string{"a 7", "a 8"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := open(t)
			age := map[string]string{}
			for _, r := range c.runs {
				id := idAt(now.Add(-time.Duration(r.days) * 24 * time.Hour))
				age[id] = fmt.Sprintf("%s %d", r.agent, r.days)
				log, err := s.CreateLog(r.agent, id)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = log.Write(make([]byte, r.size))
				_ = log.Close()
				run, err := s.Begin(Record{RunID: id, Agent: r.agent, State: r.state})
				if err != nil {
					t.Fatal(err)
				}
				_ = run.Close()
				ended := now.Add(-time.Duration(r.days) * 24 * time.Hour)
				if err := os.Chtimes(filepath.Join(dir, r.agent, id+recordExt), ended, ended); err != nil {
					t.Fatal(err)
				}
			}
			since := time.Time{}
			if c.days > 0 {
				since = now.Add(-time.Duration(c.days) * 24 * time.Hour)
			}
			if err := s.Retain(since, c.size); err != nil {
				t.Fatal(err)
			}
			for _, ext := range []string{recordExt, logExt} {
				files, _ := filepath.Glob(filepath.Join(dir, "*", "*"+ext))
				var left []string
				for _, f := range files {
					name := filepath.Base(f)
					left = append(left, age[name[:len(name)-len(ext)]])
				}
				if slices.Sort(left); !slices.Equal(left, c.left) {
					t.Errorf("%s: %q, want %q", ext, left, c.left)
				}
			}
		})
	}
	s, dir := open(t)
	if err := os.WriteFile(filepath.Join(dir, "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(now, 1); err != nil {
		t.Error(err)
	}
}
