package controlplane_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/controlplane"
)

// TestOpenRefuses: each way in which a data directory cannot be used, with the
// words the operator reads.
func TestOpenRefuses(t *testing.T) {
	write := func(t *testing.T, path, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	const otherKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, dir string, o *controlplane.Options)
		want  string
	}{
		{"master key gone", func(t *testing.T, dir string, _ *controlplane.Options) {
			if err := os.Remove(filepath.Join(dir, "master.key")); err != nil {
				t.Fatal(err)
			}
		}, "master.key: no such file"},
		{"another master key", func(t *testing.T, dir string, _ *controlplane.Options) {
			write(t, filepath.Join(dir, "master.key"), otherKey, 0o600)
		}, "encrypted with another one"},
		{"another master key file", func(t *testing.T, _ string, o *controlplane.Options) {
			o.MasterKeyFile = filepath.Join(t.TempDir(), "k")
			write(t, o.MasterKeyFile, otherKey, 0o600)
		}, "encrypted with another one"},
		{"master key file for all", func(t *testing.T, _ string, o *controlplane.Options) {
			o.MasterKeyFile = filepath.Join(t.TempDir(), "k")
			write(t, o.MasterKeyFile, otherKey, 0o644)
		}, "others read it"},
		{"no key in it", func(t *testing.T, dir string, _ *controlplane.Options) {
			write(t, filepath.Join(dir, "signing.key"), "topsecret\n", 0o600)
		}, "signing.key: not one line"},
		{"not a database", func(t *testing.T, dir string, _ *controlplane.Options) {
			write(t, filepath.Join(dir, "control-plane.db"), strings.Repeat("x", 8192), 0o600)
		}, "cannot open database"},
		{"short TTL", func(_ *testing.T, _ string, o *controlplane.Options) { o.BundleTTL = time.Second }, "at least"},
		{"no directory", func(_ *testing.T, _ string, o *controlplane.Options) { o.Data = "" }, "no path given"},
		{"a file", func(t *testing.T, dir string, o *controlplane.Options) { o.Data = filepath.Join(dir, "master.key") }, "not a directory"},
		{"others' directory", func(t *testing.T, _ string, o *controlplane.Options) {
			o.Data = t.TempDir()
			write(t, filepath.Join(o.Data, "file"), "", 0o600)
			if err := os.Chmod(o.Data, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "already holds other files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := controlplane.Options{Data: filepath.Join(t.TempDir(), "data")}
			s, err := controlplane.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			dir := o.Data
			tt.spoil(t, dir, &o)
			s, err = controlplane.Open(o)
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestDataDirectory: one server at a time; modes; a path that is awkward.
func TestDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%41")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	first, err := controlplane.Open(controlplane.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := controlplane.Open(controlplane.Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "another control-plane has it open (process ") {
		t.Errorf("second server: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, name := range []string{"operator.token", "master.key", "signing.key", "control-plane.db"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := controlplane.Open(controlplane.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestMasterKeyFile: with a key file of the operator's, none is made.
func TestMasterKeyFile(t *testing.T) {
	dir := t.TempDir()
	o := controlplane.Options{Data: filepath.Join(dir, "data"), MasterKeyFile: filepath.Join(dir, "k")}
	if s, err := controlplane.Open(o); err == nil {
		t.Fatal("opened without the file", s.Close())
	}
	if err := os.WriteFile(o.MasterKeyFile, []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := controlplane.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(o.Data, "master.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("master.key: %v", err)
	}
}

// TestListen: plain HTTP stays on loopback.
func TestListen(t *testing.T) {
	for _, tt := range []struct {
		addr string
		tls  bool
		ok   bool
	}{
		{"127.0.0.1:0", false, true}, {"localhost:0", false, true}, {":0", false, false}, {"0.0.0.0:0", false, false},
		{"0.0.0.0:0", true, true}, {"127.0.0.1", false, false}, {"127.0.0.1:99999", false, false},
	} {
		l, err := controlplane.Listen(tt.addr, tt.tls)
		if (err == nil) != tt.ok {
			t.Errorf("%s, TLS %v: %v", tt.addr, tt.tls, err)
		}
		var hint *controlplane.Hint
		if err == nil {
			l.Close()
		} else if strings.Contains(err.Error(), "loopback") && (!errors.As(err, &hint) || !strings.Contains(hint.Advice, "--tls-cert")) {
			t.Errorf("%s: no hint", tt.addr)
		}
	}
}
