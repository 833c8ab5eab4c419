package sandbox_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// TestKilledMaskersLeakNothing: kill -9 of maskers while an agent prints its
// secret, plain and encoded. The next one knows it too, and lets out no rest of
// one that was torn.
func TestKilledMaskersLeakNothing(t *testing.T) {
	h := newHost(t)
	const value = "tk/9f8+QwZk2evAlX5rPzYxTtWu5oIe4kJbGh6aX"
	spec := command("sh", "-c", `yes "it is $TOKEN, it is" | head -n 400000; yes "$TOKEN" | head -n 300000 | base64`)
	path := filepath.Join(h.dir, "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	spec.Run, spec.Log = uuid.NewString(), log
	p, err := h.Keeper.Start(spec, h.seal(t, map[string]string{"TOKEN": value}), unconfined())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	if _, err := p.Release(); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for kills < 6 && !ended(p.PID) {
		for _, pid := range children(h.PID()) {
			if cmd, _ := os.ReadFile(procPath(pid, "cmdline")); strings.Contains(string(cmd), "\x00masker\x00") && syscall.Kill(pid, syscall.SIGKILL) == nil {
				kills++
			}
		}
		unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 20000})
	}
	exit, err := p.Wait(withDeadline(t))
	if err != nil || exit.Code != 0 || kills == 0 {
		t.Fatalf("%v, %+v, %d kills", err, exit, kills)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	t.Logf("%d kills, %d masks in %d bytes: %v", kills, strings.Count(text, "[redacted:TOKEN]"), len(text), exit.LogError)
	if strings.Count(text, "[redacted:TOKEN]") < 1000 {
		t.Errorf("%.200q", text)
	}
	for i := 0; i+8 <= len(value); i++ {
		if at := strings.Index(text, value[i:i+8]); at >= 0 {
			t.Fatalf("a part of the value: %q", text[max(0, at-100):min(len(text), at+100)])
		}
	}
	for i := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(value[i : i+len(value)/3*3-3]))
		for j := 0; j+16 <= len(encoded); j += 4 {
			if at := strings.Index(text, encoded[j:j+16]); at >= 0 {
				t.Fatalf("a part of the value in base64: %q", text[max(0, at-100):min(len(text), at+100)])
			}
		}
	}
}

func children(pid int) (pids []int) {
	data, _ := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(pid)+"/children"))
	for _, field := range strings.Fields(string(data)) {
		pids = append(pids, atoi(field))
	}
	return pids
}
