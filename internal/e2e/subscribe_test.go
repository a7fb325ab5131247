package e2e

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"callrecordd/ari"
	"callrecordd/ari/ami"
	"callrecordd/internal/lab"
)

// once is a sink that wants to be connected, no more.
type once struct{ connected chan struct{} }

func (o once) Connected(context.Context, ari.Session) error { close(o.connected); return nil }
func (once) Event(ari.Event)                                {}
func (once) Disconnected(error)                             {}

// TestConnectWhileDeviceStatesChangeDoesNotHangAsterisk: with subscribeAll=true
// the websocket's thread and res_stasis_device_state waited for each other's
// lock, and Asterisk answered nobody any more.
func TestConnectWhileDeviceStatesChangeDoesNotHangAsterisk(t *testing.T) {
	t.Parallel()
	pbx := newPBX(t, lab.Config{})
	base, err := url.Parse(strings.TrimSuffix(pbx.ARIURL, "/ari"))
	must(t, err)
	client := ari.New(base, ari.Credentials{User: pbx.ARIUser, Password: pbx.ARIPassword})
	defer client.CloseIdleConnections()
	conn, err := ami.Dial(within(t), ami.Config{Address: pbx.AMIAddr, User: pbx.AMIUser, Secret: pbx.AMIPassword})
	must(t, err)
	defer conn.Close()
	stop := make(chan struct{})
	flipped := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				flipped <- nil
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := conn.Do(ctx, ami.Action{Name: "Setvar", Fields: []ami.Field{
				{Key: "Variable", Value: "DEVICE_STATE(Custom:lamp)"}, {Key: "Value", Value: [...]string{"INUSE", "NOT_INUSE"}[i%2]},
			}})
			cancel()
			if err != nil {
				flipped <- err
				return
			}
		}
	}()
	const rounds = 40 // it took one to six before
	for range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		o, ended := once{make(chan struct{})}, make(chan struct{})
		go func() {
			defer close(ended)
			_ = ari.NewStream(client, ari.StreamConfig{App: "probe"}).Run(ctx, o) // until cancel
		}()
		select {
		case <-o.connected:
		case <-ctx.Done():
			t.Fatal("Asterisk does not take the connection any more")
		}
		cancel()
		<-ended
		// The name is free only when Asterisk has seen the end.
		deadline := time.Now().Add(patience)
		for {
			if _, err := client.Application(within(t), "probe"); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("Asterisk does not forget the application")
			}
		}
	}
	close(stop)
	must(t, <-flipped)
}
