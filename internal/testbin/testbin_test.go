package testbin

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestEveryProgramIsThere(t *testing.T) {
	bin := Build(t)
	fields := reflect.ValueOf(bin)
	for i := range fields.NumField() {
		path := fields.Field(i).String()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v %v", fields.Type().Field(i).Name, info, err)
		}
	}
	if again := Build(t); again != bin {
		t.Errorf("built twice: %v, %v", again, bin)
	}
}

func TestCopyIsClosedToOthers(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(from, "plugins"), 0o775); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join("plugins", "process")
	if err := os.WriteFile(filepath.Join(from, program), []byte("content"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := fill(to, from); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "plugins", program} {
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	if err := fill(to, filepath.Join(from, "nonexistent")); err == nil {
		t.Error("a missing directory is no error")
	}
}
