package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"callrecordd/config"
	"callrecordd/dialplan"
	"callrecordd/internal/api"
)

// toggleSetting is the code of *3 that was chosen through the API. Without one
// it is that of features.conf, which on_demand.code names.
const toggleSetting = "on_demand.toggle_code"

// featuresModule is the part of Asterisk that reads features.conf.
const featuresModule = "features"

// toggleKey implements api.ToggleKey.
type toggleKey struct{ app *App }

func (k toggleKey) ToggleCode(ctx context.Context) (string, error) {
	code, ok, err := k.app.store.Setting(ctx, toggleSetting)
	if err == nil && (!ok || k.app.opt.Config.OnDemand.Source == config.SourceDTMF) {
		code = k.app.config.Load().OnDemand.Code
	}
	return code, err
}

// SetToggleCode stores the code; Asterisk is told as soon as it is there.
func (k toggleKey) SetToggleCode(ctx context.Context, code, actor string) error {
	if k.app.opt.Config.OnDemand.Source == config.SourceDTMF {
		return fmt.Errorf("%w: with on_demand.source dtmf it is on_demand.code", api.ErrToggleFixed)
	}
	now, err := k.ToggleCode(ctx)
	if err != nil || now == code {
		return err
	}
	if err := k.app.store.SetSetting(ctx, toggleSetting, code, actor); err != nil {
		return err
	}
	k.app.features.again()
	return nil
}

// loadToggleKey writes the line of features.conf, if a code was chosen, and has
// Asterisk read it once a connection.
func (a *App) loadToggleKey(ctx context.Context, told *string) error {
	code, chosen, err := a.store.Setting(ctx, toggleSetting)
	if err != nil || !chosen {
		return err
	}
	path, text := a.opt.Config.State.ToggleFile(), dialplan.ToggleText(code)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the code of *3: %w", err)
	}
	if string(old) != text {
		if err := replaceFile(path, text); err != nil {
			return fmt.Errorf("write the code of *3: %w", err)
		}
	}
	if *told == text {
		return nil
	}
	if err := a.ami.Reload(ctx, featuresModule); err != nil {
		return fmt.Errorf("have Asterisk read the code of *3: %w", err)
	}
	*told = text
	a.log.Info("asterisk listens to another code during calls", "code", code)
	return nil
}
