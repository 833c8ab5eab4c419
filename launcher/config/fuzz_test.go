package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzLoad(f *testing.F) {
	f.Add([]byte("{" + plane + `, "hostKeyFile": "k", "socket": "s", "heartbeat": {"intervalSec": 1.5, "jitter": 0}}`))
	f.Add([]byte(`{"controlPlane": {"url": "http://[::1]:1", "tokenFile": "credential:x"}, "uidRange": [1], "a": {"b": [{}]}, "a": "\ud83d\ude00"}`))
	f.Add([]byte("{" + plane + `, "keeperSocket": "/s", "uidRange": [1e3, 2.0, -1, 4294967293], "hostKeyFile": null}`))
	f.Add([]byte("{" + plane + `, "keeperSocket": "/s", "uidRange": [61184, 65519]}`))
	f.Add([]byte("\ufeff{}"))
	fuzz(f, "config", func(_ *testing.T, file string) error {
		_, err := Load(file)
		return err
	})
}

func FuzzLoadAgent(f *testing.F) {
	f.Add([]byte(pastedRecord))
	f.Add([]byte(inEnv(`"A": {"type": "secret_ref"}, "B": {"type": "plain", "value": "\u0000"}, "C-": [1e9], "D": {"type": "oauth"}`)))
	f.Add([]byte(head + `"adapterConfig": {"timeoutSec": "1", "x": [[{}]], "access.A": 1}, "lifecycle": "service", "sandbox": 1,,}`))
	f.Add([]byte(head + `"adapterConfig": {}, "sandbox": {"limits": {"memory": 1048576, "pids": 1e2, "cpu": 1e-2, "nproc": null}}}`))
	fuzz(f, "adapter", func(t *testing.T, file string) error {
		a, err := LoadAgent(file)
		if a != nil {
			inside(t, file, ValidateAdapterConfig(a, []byte(adapterSchema)))
			if !json.Valid(a.AdapterConfig) || a.ID == "" || a.Name == "" || a.Grace < 0 || a.Timeout < 0 || a.Heartbeat.Interval < 0 {
				t.Fatalf("%+v", a)
			}
		}
		return err
	})
}

// fuzz holds a loader to this: no panic, every problem has a place in the file
// and is one printable line, and what it accepts its schema accepts too.
func fuzz(f *testing.F, kind string, load func(*testing.T, string) error) {
	schema, err := Schema(kind)
	if err != nil {
		f.Fatal(err)
	}
	compiled, err := compile(schema)
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(dir, kind+".json")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		err := load(t, file)
		if err == nil {
			if err := validate(compiled, data); err != nil {
				t.Fatalf("the schema refuses what the loader accepts: %v", err)
			}
			return
		}
		ps, ok := err.(Problems)
		if !ok || len(ps) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		inside(t, file, ps)
	})
}

func inside(t *testing.T, file string, ps Problems) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(data, []byte("\n"))
	for _, p := range ps {
		if p.File != file || p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > len(lines[p.Line-1])+1 || !strings.HasPrefix(p.Path, "$") || p.Message == "" {
			t.Fatalf("%+v", p)
		}
		if strings.ContainsFunc(p.Error()+p.Hint, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("not one printable line: %q", p.Error())
		}
	}
}
