package cgroup

import "testing"

const (
	pure   = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	hybrid = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	nested  = "700 650 0:26 /docker/abc /sys/fs/cgroup ro,nosuid master:4 propagate_from:2 - cgroup2 cgroup rw\n"
	foreign = "700 650 0:26 /../../other /mnt rw - cgroup2 cgroup rw\n"
	escaped = "30 23 0:26 /a\\040b /sys/fs/c\\134\\011g rw - cgroup2 cgroup2 rw\n"
	legacy  = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	fake    = "36 31 0:33 / /mnt/-\\040cgroup2 rw - ext4 cgroup2 rw\n"
)

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		mountinfo, cgroup string
		dir               string
		err               error
	}{
		"pure":                {mountinfo: pure, cgroup: "0::/system.slice/x.service\n", dir: "/sys/fs/cgroup/system.slice/x.service"},
		"pure, root":          {mountinfo: pure, cgroup: "0::/\n", dir: "/sys/fs/cgroup"},
		"hybrid":              {mountinfo: hybrid, cgroup: "9:name=systemd:/x\n4:memory:/y\n0::/z\n", dir: "/sys/fs/cgroup/unified/z"},
		"nested":              {mountinfo: nested, cgroup: "0::/docker/abc/x\n", dir: "/sys/fs/cgroup/x"},
		"nested, its root":    {mountinfo: nested, cgroup: "0::/docker/abc\n", dir: "/sys/fs/cgroup"},
		"nested, a sibling":   {mountinfo: nested, cgroup: "0::/docker/abcd\n", err: errOutside},
		"nested, outside":     {mountinfo: nested, cgroup: "0::/\n", err: errOutside},
		"two":                 {mountinfo: pure + nested, cgroup: "0::/x\n", dir: "/sys/fs/cgroup/x"},
		"two, the later":      {mountinfo: pure + hybrid, cgroup: "0::/x\n", dir: "/sys/fs/cgroup/unified/x"},
		"namespace":           {mountinfo: pure, cgroup: "0::/../x\n", err: errOutside},
		"foreign":             {mountinfo: foreign, cgroup: "0::/x\n", err: errNoMount},
		"escapes":             {mountinfo: escaped, cgroup: "0::/a b/c\n", dir: "/sys/fs/c\\\tg/c"},
		"legacy":              {mountinfo: legacy, cgroup: "4:memory:/\n0::/\n", err: errNoMount},
		"legacy kernel":       {mountinfo: legacy, cgroup: "4:memory:/\n", err: errNoOwn},
		"looks like it":       {mountinfo: fake, cgroup: "0::/\n", err: errNoMount},
		"a line is cut":       {mountinfo: "30 23 0:26 / - cgroup2 x\n", cgroup: "0::/\n", err: errNoMount},
		"nothing":             {mountinfo: "", cgroup: "", err: errNoOwn},
		"a name with a colon": {mountinfo: pure, cgroup: "0::/a:0::/b\n", dir: "/sys/fs/cgroup/a:0::/b"},
	} {
		p, err := find(test.mountinfo, test.cgroup)
		if err != test.err {
			t.Errorf("%s: %v, want %v", name, err, test.err)
		} else if err == nil && p.dir(p.own) != test.dir {
			t.Errorf("%s: %s, want %s", name, p.dir(p.own), test.dir)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, test := range [][3]string{
		{"/", "/", "/"}, {"/", "/a", "/a"}, {"/a", "/a", "/"}, {"/a", "/a/b", "/b"}, {"/a", "/ab", ""}, {"/a", "/", ""}, {"/a/b", "/a", ""},
	} {
		if got := below(test[0], test[1]); got != test[2] {
			t.Errorf("%s below %s: %q, want %q", test[1], test[0], got, test[2])
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`a`: "a", `a\040b`: "a b", `\134040`: `\040`, `\`: `\`, `\04`: `\04`, `\999`: `\999`, `\012\011`: "\n\t", `\777`: `\777`, `\+40`: `\+40`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestOwner(t *testing.T) {
	us, err := ourselves()
	if err != nil {
		t.Fatal(err)
	}
	if back, ok := parseOwner(us.String()); !ok || back != us || back.dead() {
		t.Errorf("%v: %v, %t", us, back, ok)
	}
	other := us
	other.start++
	if !other.dead() {
		t.Error("another process by our number is taken for us")
	}
	other.pid = 1 << 22
	if !other.dead() {
		t.Error("a process that cannot be lives")
	}
	for _, name := range []string{"", "agent-launcher", "agent-launcher.1", "agent-launcher.1.2", "agent-launcher.1.2.3.4", "agent-launcher.0.1.2",
		"agent-launcher.-1.1.2", "agent-launcher.01.1.2", "agent-launcher.1.x.2", "agent-launcher.service", "x.1.2.3", "agent-launcher.99999999999.1.1"} {
		if o, ok := parseOwner(name); ok {
			t.Errorf("%q is %v", name, o)
		}
	}
}
