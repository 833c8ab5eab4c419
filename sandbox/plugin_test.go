package sandbox_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// A plugin is what was looked at, whatever lies at its path, and its file itself if
// it is a script. What it makes in its socket's directory is its own and the
// launcher's group's.
func TestPlugin(t *testing.T) {
	const script = "#!/bin/sh\necho mine > $SOCKET/x; echo tmp > $TMPDIR/x; read line < ${0%/*}/beside; echo $line; umask\n" +
		"{ echo no > /tmp/$$; } 2>&1 | grep -q denied && echo closed >&2\n"
	h := newHost(t)
	for _, c := range []struct {
		name    string
		program string // executed in place of the script
		out     string
	}{
		{"script", "", "beside\n0007\n"},
		{"program", "/bin/pwd", "/\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, base, socket := filepath.Join(publicDir(t), "plugin"), publicDir(t), publicDir(t)
			for name, text := range map[string]string{path: script, filepath.Join(filepath.Dir(path), "beside"): "beside\n"} {
				if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			p := &sandbox.Plugin{Name: "x", Run: uuid.NewString(), Path: path, Env: []string{"SOCKET=" + socket}, Base: base, Socket: socket}
			if os.Geteuid() == 0 {
				p.User = &sandbox.User{UID: ordinaryUID, GID: ordinaryUID}
			}
			if c.program != "" {
				p.Program = image(t, c.program)
			}
			out, errs := output(t, &p.Stdout), output(t, &p.Stderr)
			proc, err := h.StartPlugin(p)
			if err != nil {
				t.Fatal(err)
			}
			_ = p.Stdout.Close()
			_ = p.Stderr.Close()
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			exit, err := proc.Wait(ctx)
			if err != nil || !exit.Known || exit.Code != 0 {
				t.Errorf("%+v, %v", exit, err)
			}
			proc.Forget()
			said, wrong := out(), errs()
			if said != c.out || c.program == "" && wrong != "closed\n" || !strings.HasPrefix(proc.Level, "plugin: Landlock ABI ") {
				t.Errorf("stdout %q, stderr %q, level %s", said, wrong, proc.Level)
			}
			if c.program != "" {
				return
			}
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(socket, "x"), &st); err != nil || st.Gid != uint32(os.Getegid()) || st.Mode&0o777 != 0o660 {
				t.Errorf("its file: %+v, %v", st, err)
			}
		})
	}
}

// A plugin that is no program says why it does not start, and leaves nothing.
func TestPluginThatIsNoProgram(t *testing.T) {
	h := newHost(t)
	p := &sandbox.Plugin{Name: "x", Run: uuid.NewString(), Path: "/nonexistent/x", Base: publicDir(t), Socket: publicDir(t), Program: image(t, "/etc/passwd")}
	out, errs := output(t, &p.Stdout), output(t, &p.Stderr)
	_, err := h.StartPlugin(p)
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/x: neither a program of this machine") {
		t.Errorf("%v", err)
	}
	_ = p.Stdout.Close()
	_ = p.Stderr.Close()
	if said := out() + errs(); said != "" {
		t.Errorf("it said %q", said)
	}
}

// image is a file in memory with the content of another.
func image(t *testing.T, path string) *os.File {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "image")
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	return f
}

// output is one of a plugin's pipes. All that it said is read when nobody has the
// other end any more.
func output(t *testing.T, w **os.File) (said func() string) {
	t.Helper()
	r, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	*w = end
	return func() string {
		_ = r.SetReadDeadline(time.Now().Add(deadline))
		data, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		_ = r.Close()
		return string(data)
	}
}
