package stage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var large = map[string]bool{"wide": true, "many in one": true, "deep": true}

// hostileTrees are planted with the rights of the agent.
var hostileTrees = map[string]func(g *ground) error{
	"empty": func(*ground) error { return nil },
	"names": func(g *ground) error {
		var errs []error
		for _, name := range []string{"a", strings.Repeat("n", 255), "new\nline", "\xff\xfe", "-rf", "...", " ", ".sweep-0", "*", "\\"} {
			errs = append(errs, os.WriteFile(filepath.Join(g.dir, name), nil, 0))
		}
		for _, c := range []string{"x", "y", "z"} {
			long := filepath.Join(g.dir, strings.Repeat(c, 255))
			errs = append(errs, os.MkdirAll(filepath.Join(long, strings.Repeat(c, 255)), 0o700), os.WriteFile(filepath.Join(long, strings.Repeat(c, 255), "f"), nil, 0))
		}
		return first(errs...)
	},
	"links": func(g *ground) error {
		var errs []error
		for i, to := range []string{g.canary, g.canary + "/file", "../canary", "..", ".", "/", "nowhere", "2", "/proc/self/root" + g.canary, g.canary + "/sub/.."} {
			dir := fmt.Sprintf("%s/d%d", g.dir, i)
			errs = append(errs, os.Symlink(to, fmt.Sprintf("%s/%d", g.dir, i)), os.Mkdir(dir, 0o700), os.Symlink(to, dir+"/link"))
		}
		return first(append(errs, os.Link(g.canary+"/file", g.dir+"/hard"))...)
	},
	"modes": func(g *ground) error {
		var errs []error
		for _, mode := range []uint32{0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600, 0o1777, 0o2700, 0o4000} {
			dir := fmt.Sprintf("%s/%o", g.dir, mode)
			errs = append(errs, os.MkdirAll(dir+"/in/in", 0o700), os.WriteFile(dir+"/in/in/file", nil, 0), os.WriteFile(dir+"/file", nil, 0),
				unix.Chmod(dir+"/in/in", mode), unix.Chmod(dir+"/in", mode), unix.Chmod(dir, mode))
		}
		return first(errs...)
	},
	"closed": func(g *ground) error {
		return first(os.MkdirAll(g.dir+"/a/b", 0o700), os.WriteFile(g.dir+"/a/b/f", nil, 0), os.Chmod(g.dir+"/a", 0), os.Chmod(g.dir, 0))
	},
	"specials": func(g *ground) error {
		err := first(os.Mkdir(g.dir+"/d", 0o700), unix.Mkfifo(g.dir+"/fifo", 0o600), unix.Mkfifo(g.dir+"/d/fifo", 0))
		return first(err, unix.Mknod(g.dir+"/d/sock", unix.S_IFSOCK|0o600, 0))
	},
	"wide": func(g *ground) error {
		var errs []error
		for i := range 200 * g.scale {
			dir := fmt.Sprintf("%s/%d", g.dir, i)
			errs = append(errs, os.MkdirAll(dir+"/x/y/z", 0o700), os.WriteFile(dir+"/x/f", nil, 0), os.WriteFile(dir+"f", nil, 0))
		}
		return first(errs...)
	},
	"many in one": func(g *ground) error {
		errs := []error{os.MkdirAll(g.dir+"/a/b", 0o700)}
		for i := range 2000 * g.scale {
			errs = append(errs, os.WriteFile(fmt.Sprintf("%s/a/b/%d", g.dir, i), nil, 0o600))
		}
		return first(errs...)
	},
	"deep":         func(g *ground) error { return deep(g, 2000*g.scale, 0o700) },
	"deep, closed": func(g *ground) error { return deep(g, 100, 0) },
}

// deep makes a chain of directories that no path reaches.
func deep(g *ground, levels int, mode uint32) error {
	fd, err := unix.Open(g.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for range levels {
		err := first(unix.Mkdirat(fd, "d", 0o700), unix.Symlinkat("..", fd, "up"))
		next, err2 := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err := first(err, err2, unix.Fchmod(fd, mode), unix.Close(fd)); err != nil {
			return err
		}
		fd = next
	}
	return unix.Close(fd)
}
