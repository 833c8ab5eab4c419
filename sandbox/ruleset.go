package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// fileRights are the rights that a rule on something other than a directory
// may have.
const fileRights = ll.AccessFSExecute | ll.AccessFSWriteFile | ll.AccessFSReadFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev

// landlockABI asks the kernel; 0 means that it has no Landlock.
func landlockABI() int {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return abi
}

// ruleset builds the Landlock ruleset of one launch. It is made anew for each:
// rules name inodes, and a directory that was replaced is another one.
func ruleset(p *Policy, e *Enforcement, at *Places, programs []programRule) (*os.File, error) {
	attr := ll.RulesetAttr{HandledAccessFS: e.FS, HandledAccessNet: e.Net, Scoped: e.Scop}
	fd, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot create a Landlock ruleset: %w", err)
	}
	file := os.NewFile(uintptr(fd), "ruleset")
	if err := fill(fd, p, e, at, programs); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func fill(fd int, p *Policy, e *Enforcement, at *Places, programs []programRule) error {
	for _, r := range systemRules {
		if err := addPath(fd, r, e.FS); err != nil && !leftOut(err) {
			return err
		}
	}
	for _, r := range programs {
		if err := r.add(fd, at, e.FS); err != nil && !leftOut(err) {
			return err
		}
	}
	required := append(ownRules(p, at), operatorRules(p)...)
	for _, r := range required {
		if at.Base != "" && (r.path == at.Home || r.path == at.Tmp) { // not made yet: the keeper adds its rule
			continue
		}
		if err := apart(r.path, at); err != nil {
			return err
		}
		if err := addPath(fd, r, e.FS); err != nil {
			return err
		}
	}
	return addPorts(fd, p, e)
}

// ownRights are the rights on HOME and TMPDIR.
func ownRights(p *Policy, at *Places, handled uint64) (home, tmp uint64) {
	for _, r := range ownRules(p, at) {
		switch r.path {
		case at.Tmp:
			tmp = r.rights & handled
		case at.Home:
			home = r.rights & handled
		}
	}
	return home, tmp
}

// leftOut reports whether an optional rule is none for this reason.
func leftOut(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, unix.ENOTDIR)
}

func operatorRules(p *Policy) []rule {
	var rules []rule
	for _, x := range []struct {
		paths  []string
		rights uint64
		why    string
	}{{p.Read, readTree, "sandbox.read"}, {p.Write, allFiles &^ ll.AccessFSExecute, "sandbox.write"}, {p.Exec, execTree, "sandbox.exec"}} {
		for _, path := range x.paths {
			rules = append(rules, rule{path, x.rights, x.why})
		}
	}
	return rules
}

// apart refuses a rule that would give the agent the launcher's own files: one
// that lies above them, or inside them but not in the agent's own directories.
func apart(path string, at *Places) error {
	at.resolve()
	path = real(path)
	if slices.ContainsFunc(at.own, func(own string) bool { return inside(path, own) }) {
		return nil
	}
	for _, private := range at.private {
		if inside(private, path) || inside(path, private) {
			return fmt.Errorf("the sandbox would open %s to the agent, and with it the launcher's own %s: choose a directory apart from it", path, private)
		}
	}
	return nil
}

// resolve finds where the places really are, once for a launch: it takes many
// system calls, and each rule is compared with all of them.
func (at *Places) resolve() {
	if at.own != nil {
		return
	}
	at.own = []string{real(at.Home), real(at.Tmp)}
	if at.Socket != "" {
		at.own = append(at.own, real(at.Socket))
	}
	for _, private := range at.Private {
		if private != "" { // a file that the configuration leaves out
			at.private = append(at.private, real(private))
		}
	}
}

func real(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	return filepath.Clean(path)
}

// inside reports whether path is dir or below it.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func addPath(fd int, r rule, handled uint64) error {
	if r.rights&handled&^fileRights == 0 { // whatever the path is, it can have these: no need to look
		path, err := unix.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot open %s (%s) for the sandbox: %w", r.path, r.why, err)
		}
		return r.addOpened(fd, &opened{fd: path, rights: r.rights & handled})
	}
	o, err := r.open(handled)
	if err != nil {
		return err
	}
	return r.addOpened(fd, o)
}

// addOpened closes o.
func (r rule) addOpened(fd int, o *opened) error {
	defer unix.Close(o.fd)
	attr := ll.PathBeneathAttr{AllowedAccess: o.rights, ParentFd: o.fd}
	if err := ll.LandlockAddPathBeneathRule(fd, &attr, 0); err != nil {
		return fmt.Errorf("cannot add %s (%s) to the sandbox: %w", r.path, r.why, err)
	}
	return nil
}

// opened is a rule as the kernel takes it: an inode, whatever its name, and the
// rights on it and below it.
type opened struct {
	fd     int // O_PATH
	stat   unix.Stat_t
	rights uint64
}

func (r rule) open(handled uint64) (*opened, error) {
	fd, err := unix.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s (%s) for the sandbox: %w", r.path, r.why, err)
	}
	o := &opened{fd: fd, rights: r.rights & handled}
	if err := unix.Fstat(fd, &o.stat); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot look at %s for the sandbox: %w", r.path, err), unix.Close(fd))
	}
	if o.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		o.rights &= fileRights
	}
	return o, nil
}

func addPorts(fd int, p *Policy, e *Enforcement) error {
	for _, x := range []struct {
		ports []uint16
		right uint64
	}{{p.ConnectTCP, ll.AccessNetConnectTCP}, {p.BindTCP, ll.AccessNetBindTCP}} {
		if e.Net&x.right == 0 {
			continue
		}
		for _, port := range x.ports {
			attr := ll.NetPortAttr{AllowedAccess: x.right, Port: uint64(port)}
			if err := ll.LandlockAddNetPortRule(fd, &attr, 0); err != nil {
				return fmt.Errorf("cannot add TCP port %d to the sandbox: %w", port, err)
			}
		}
	}
	return nil
}
