package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"callrecordd/ari/ami"
	"callrecordd/dialplan"
)

// pbxConfig is the module that reads extensions.conf.
const pbxConfig = "pbx_config"

// featuresEvery is how often it is looked whether Asterisk has what it lacked.
const featuresEvery = 5 * time.Second

// features keeps the dialplan of *26 in its file and in Asterisk.
type features struct {
	wake chan struct{}

	mu    sync.Mutex
	wrong string // empty while Asterisk has it
}

func newFeatures() *features {
	return &features{wake: make(chan struct{}, 1), wrong: "asterisk has not been asked yet"}
}

// again has file and Asterisk looked at soon. It does not block.
func (f *features) again() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *features) lacking() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

// startFeatures writes the file and keeps at it: Asterisk may come later, and
// the number may change. That it cannot be written must not keep the daemon
// from recording.
func (a *App) startFeatures() {
	a.stack.goStep("features", a.failed, func(ctx context.Context) error {
		var told string // the text of the toggle key that Asterisk was told of
		// reloaded is the version that Asterisk was told of on this connection:
		// it is not told twice, since a reload reads the whole dialplan.
		var reloaded string
		for connection := -1; ctx.Err() == nil; {
			state := a.ami.State()
			if state.Reconnects != connection {
				connection, reloaded, told = state.Reconnects, "", ""
			}
			marker, err := a.writeFeatures()
			connected := state.Kind == ami.StateConnected
			if err == nil && connected {
				err = a.loadFeatures(ctx, marker, &reloaded)
			}
			if err == nil && connected {
				err = a.loadToggleKey(ctx, &told)
			}
			// While Asterisk is away there is nothing new to tell.
			if ctx.Err() == nil && (err != nil || connected) {
				a.noteFeatures(err)
			}
			var retry <-chan time.Time
			if err != nil {
				retry = time.After(featuresEvery)
			}
			select {
			case <-ctx.Done():
			case <-retry:
			case <-a.features.wake:
			}
		}
		return nil
	})
}

func (a *App) noteFeatures(err error) {
	var now string
	if err != nil {
		now = err.Error()
	}
	f := a.features
	f.mu.Lock()
	before := f.wrong
	f.wrong = now
	f.mu.Unlock()
	switch {
	case now == before:
	case now != "":
		a.log.Warn("*26 does not work as it should", "detail", now)
	default:
		a.log.Info("asterisk has the dialplan of *26")
	}
}

// writeFeatures puts the dialplan into its file if it is not there, and returns
// how to recognise it in Asterisk.
func (a *App) writeFeatures() (marker string, err error) {
	feature, ok := a.directory.Book().Feature(dialplan.FeatureSwitch)
	if !ok {
		return "", errors.New("the directory has no feature " + dialplan.FeatureSwitch)
	}
	text, marker, err := dialplan.Features{
		App: a.opt.Config.Asterisk.App, Exten: feature.Exten, Enabled: feature.Enabled,
		Net: safetyNet(a.directory.Book(), a.opt.Config.Recordings.Root),
	}.Dialplan()
	if err != nil {
		return "", err
	}
	a.prepareNet()
	path := a.opt.Config.State.Features()
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return marker, nil
	}
	if err := replaceFile(path, text); err != nil {
		return "", fmt.Errorf("write the dialplan of *26: %w", err)
	}
	return marker, nil
}

// replaceFile writes a file that its group may read, Asterisk's if it is not
// the owner. Whoever reads it sees the old or the new text, never a part.
func replaceFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o640), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// loadFeatures has Asterisk read its dialplan unless it runs with this version.
func (a *App) loadFeatures(ctx context.Context, marker string, reloaded *string) error {
	if a.featuresLoaded(ctx, marker) {
		return nil
	}
	if *reloaded != marker {
		if a.watch.on() { // before anybody is caught by the net, and once more if globals are cleared
			a.setAlive(ctx)
			defer a.setAlive(ctx)
		}
		if err := a.ami.Reload(ctx, pbxConfig); err != nil {
			return fmt.Errorf("have Asterisk read the dialplan of *26: %w", err)
		}
		*reloaded = marker
		if a.featuresLoaded(ctx, marker) {
			return nil
		}
	}
	return fmt.Errorf("asterisk does not read %s: put #tryinclude %q at the end of extensions.conf, see that its user "+
		"may read the file, and reload the dialplan; until then there is no *26", a.opt.Config.State.Features(), a.opt.Config.State.Features())
}

func (a *App) featuresLoaded(ctx context.Context, marker string) bool {
	v, err := a.ami.Getvar(ctx, "", "DIALPLAN_EXISTS("+dialplan.FeaturesContext+","+marker+",1)")
	return err == nil && v == "1" // an Asterisk without that function is told once a connection
}
