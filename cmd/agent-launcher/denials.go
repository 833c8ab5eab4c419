package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// maxDenials bounds what one look at a log asks about.
const maxDenials = 20

var (
	denial = regexp.MustCompile(`(?i)permission denied|EACCES|EPERM|operation not permitted`)
	// A path in quotes may hold spaces; one without ends at what programs put
	// behind it. The character before keeps URLs out.
	quotedPath = regexp.MustCompile(`["'‘](/[^"'’\x00-\x1f\x7f]*)["'’]`)
	barePath   = regexp.MustCompile(`(?:^|[\s=(\[])(/[^\s"'()\[\]<>|;,\x00-\x1f\x7f]*)`)
	address    = regexp.MustCompile(`(?:\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\]|\blocalhost):([0-9]{1,5})\b`)
)

// denials finds the paths and ports on those lines of an agent's output that
// speak of a denial, the last ones if there are many.
func denials(log []byte) (about control.Subjects) {
	lines := bytes.Split(log, []byte("\n"))
	for _, line := range slices.Backward(lines) {
		if len(about.Paths)+len(about.Ports) >= maxDenials {
			break
		}
		if len(line) > 4096 || !denial.Match(line) {
			continue
		}
		for _, path := range slices.Backward(pathsOn(string(line))) {
			if !slices.Contains(about.Paths, path) {
				about.Paths = append(about.Paths, path)
			}
		}
		for _, m := range address.FindAllSubmatch(line, -1) {
			port, err := strconv.ParseUint(string(m[1]), 10, 16)
			if err == nil && port > 0 && !slices.Contains(about.Ports, uint16(port)) {
				about.Ports = append(about.Ports, uint16(port))
			}
		}
	}
	slices.Reverse(about.Paths)
	slices.Reverse(about.Ports)
	about.Paths = about.Paths[max(0, len(about.Paths)-maxDenials):]
	return about
}

func pathsOn(line string) []string {
	var paths []string
	for _, m := range quotedPath.FindAllStringSubmatch(line, -1) {
		paths = append(paths, m[1])
	}
	for _, m := range barePath.FindAllStringSubmatch(quotedPath.ReplaceAllString(line, " "), -1) {
		paths = append(paths, strings.TrimRight(m[1], ":."))
	}
	return slices.DeleteFunc(paths, func(p string) bool {
		return p == "" || strings.HasPrefix(p, "//") || len(p) > 4096 || !filepath.IsAbs(p)
	})
}
