package plugins

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxTypeLen bounds the name of an adapter type, in bytes.
const maxTypeLen = 64

// validType reports whether name matches [a-z0-9_]{1,64}: it becomes a file
// name.
func validType(name string) bool {
	if name == "" || len(name) > maxTypeLen {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Types lists the adapter types that have a plugin, in order. Files that
// cannot be one (another name, not executable) are left out.
func (h *Host) Types() ([]string, error) {
	entries, err := os.ReadDir(h.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list plugins: %w", err)
	}
	var types []string
	for _, e := range entries {
		if _, err := h.find(e.Name()); err == nil {
			types = append(types, e.Name())
		}
	}
	return types, nil
}

// find returns the path of a plugin.
func (h *Host) find(name string) (string, error) {
	if !validType(name) {
		return "", &Error{Plugin: clean(name, maxTypeLen), Kind: KindUnknown,
			Message: "not an adapter type", Hint: "adapter types match [a-z0-9_]{1,64}"}
	}
	path := filepath.Join(h.opts.Dir, name)
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return "", &Error{Plugin: name, Kind: KindUnknown, Message: "no such plugin in " + h.opts.Dir,
			Hint: "put an executable named " + name + " there, or correct adapterType"}
	}
	if err != nil {
		return "", &Error{Plugin: name, Kind: KindUnknown, Message: err.Error()}
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", &Error{Plugin: name, Kind: KindUnknown, Message: path + " is not an executable file"}
	}
	return path, nil
}
