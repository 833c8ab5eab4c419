package fetch

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// outage is a control plane that always fails, and notes when it was asked.
// Client and server are connected by net.Pipe, so that synctest's clock is
// theirs: a test of two hours takes milliseconds.
type outage struct {
	source *Sealed
	conns  chan net.Conn
	closed chan struct{}

	mu sync.Mutex
	at []time.Time
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	o := &outage{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: o}
	go func() { _ = server.Serve(o) }()
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "token")
	o.source = open(t, Options{URL: "http://127.0.0.1", HostID: "h", TokenFile: token, SigningKey: make(ed25519.PublicKey, ed25519.PublicKeySize)})
	o.source.client.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case o.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	t.Cleanup(func() { o.source.Close(); _ = server.Close() })
	return o
}

func (o *outage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	o.at = append(o.at, time.Now())
	o.mu.Unlock()
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (o *outage) times() []time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]time.Time(nil), o.at...)
}

// Accept, Close and Addr make it a net.Listener.
func (o *outage) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.closed:
		return nil, net.ErrClosed
	}
}

func (o *outage) Close() error {
	select {
	case <-o.closed:
	default:
		close(o.closed)
	}
	return nil
}

func (o *outage) Addr() net.Addr { return &net.TCPAddr{} }

func (o *outage) wait(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err := o.source.Resolve(ctx, Agent{ID: "a", CompanyID: "c"})
	return err
}

// However many wait, one probe at a time goes out, each wait even in [d/2, d],
// d from 0.5 s doubling to 30 s.
func TestScheduleOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(t)
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				err := o.wait(2 * time.Hour)
				if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "503") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		at := o.times()
		if d := at[0].Sub(began); d != 10*time.Millisecond {
			t.Errorf("the first probe came after %s, want Gather", d)
		}
		var sum time.Duration
		d := 500 * time.Millisecond
		for i := range at[1:] {
			gap := at[i+1].Sub(at[i])
			if gap < d/2 || gap > d {
				t.Errorf("wait %d: %s, want within [%s, %s]", i+1, gap, d/2, d)
			}
			if d == 30*time.Second {
				sum += gap
			}
			d = min(2*d, 30*time.Second)
		}
		if mean := sum / time.Duration(len(at)-7); mean < 20*time.Second || mean > 25*time.Second { // of some 300, so that 22.5 s is 10 sigma away from both
			t.Errorf("the long waits are %s on average", mean)
		}
	})
}

// A failure puts off the next probe, not the next but one: who comes when that
// time has passed is asked for at once, and who has little patience is not
// kept from probing for ever.
func TestLateWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage(t)
		_ = o.wait(5 * time.Minute)
		before := len(o.times())
		if st := o.source.Status(); !st.NextAttempt.IsZero() {
			t.Errorf("nobody waits, but an attempt is planned: %+v", st)
		}
		time.Sleep(time.Hour)
		if n := len(o.times()); n != before {
			t.Errorf("%d probes for nobody", n-before)
		}
		began := time.Now()
		_ = o.wait(time.Second)
		at := o.times()
		if len(at) != before+1 || at[before].Sub(began) != 10*time.Millisecond {
			t.Errorf("%d probes, the last %s after the waiter came", len(at)-before, at[len(at)-1].Sub(began))
		}
		for range 60 { // an impatient one every second: as polite as a patient one
			_ = o.wait(time.Second)
		}
		if n := len(o.times()) - before - 1; n < 1 || n > 4 {
			t.Errorf("%d probes in a minute", n)
		}
	})
}

func TestDraw(t *testing.T) {
	const low, high = 500 * time.Millisecond, 30 * time.Second
	for failures, d := range map[int]time.Duration{1: low, 2: 2 * low, 3: 4 * low, 6: 32 * low, 7: high, 100: high, 1 << 30: high} {
		for i := range 1000 {
			r := float64(i) / 1000
			w := draw(low, high, failures, r)
			if even := d/2 + time.Duration(r*float64(d/2)); w < d/2 || w > d || (w-even).Abs() > time.Microsecond {
				t.Fatalf("after %d failures, %f: %s, want %s", failures, r, w, even)
			}
		}
	}
}
