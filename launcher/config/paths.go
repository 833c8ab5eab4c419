package config

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocket is the length of a unix socket's path in bytes, unix(7).
const maxSocket = 107

// path is a file or directory, resolved against the directory of the file that
// names it; to starts as the default.
func path(f field, to *string) field {
	f.typ, f.schema = "string", map[string]any{"minLength": 1}
	if *to != "" {
		f.schema["default"] = *to
	}
	f.set = func(d *document, n *node) {
		switch {
		case n.str == "" || strings.ContainsRune(n.str, 0):
			d.fault(n, "must be a path, got %s", n.describe())
		case strings.HasPrefix(n.str, "credential:"):
			d.fault(n, "credential:NAME is for hostKeyFile and tokenFile only")
		case filepath.IsAbs(n.str):
			*to = filepath.Clean(n.str)
		default:
			*to = filepath.Join(filepath.Dir(d.file), n.str)
		}
	}
	return f
}

// socket is a path short enough for a unix socket.
func socket(f field, to *string) field {
	f = path(f, to)
	resolve := f.set
	f.set = func(d *document, n *node) {
		if resolve(d, n); len(*to) > maxSocket {
			d.fault(n, "is a path of %d bytes: a unix socket takes at most %d", len(*to), maxSocket)
		}
	}
	return f
}

// secretFile is a path, or credential:NAME for a file in the directory that
// systemd gives, systemd.exec(5).
func secretFile(f field, to *string) field {
	f = path(f, to)
	plain := f.set
	f.set = func(d *document, n *node) {
		name, ok := strings.CutPrefix(n.str, "credential:")
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		switch {
		case !ok:
			plain(d, n)
		case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
			d.fault(n, "credential:NAME takes the name of a file, without a slash")
		case !filepath.IsAbs(dir):
			d.faultHint(n, "names a systemd credential, but CREDENTIALS_DIRECTORY is not set",
				"start the daemon by a unit with LoadCredential=NAME:PATH, or give the path of a file")
		default:
			*to = filepath.Join(dir, name)
		}
	}
	return f
}

// baseURL is https, or http on loopback.
func baseURL(f field, to *string) field {
	f.typ, f.schema = "string", map[string]any{"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^?#@]+$"}
	f.set = func(d *document, n *node) {
		*to = strings.TrimRight(n.str, "/")
		u, err := url.Parse(n.str)
		port := 1
		if err == nil && u.Port() != "" {
			port, err = strconv.Atoi(u.Port())
		}
		switch {
		case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || port < 1 || port > 65535:
			d.fault(n, "must be a URL such as https://paperclip.example:3100")
		case u.User != nil || strings.ContainsAny(n.str, "?#@"):
			d.faultHint(n, "must have no user, password, query or fragment", "the host token belongs into tokenFile")
		case u.Scheme == "http" && !loopback(u.Hostname()):
			d.faultHint(n, "plain http is for a loopback host only", "use https, with caFile for a private CA")
		}
	}
	return f
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
