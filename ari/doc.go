// Package ari is a narrow client of the Asterisk REST Interface: the calls
// that callrecordd makes, and the event stream with reconnects and declared gaps.
//
// It knows nothing of recordings, rules or tenants and must not import any
// package of this module but ari/internal. The sibling protocol AMI is in ari/ami.
//
// Calls used, all below the base address followed by /ari:
//
//	GET    /asterisk/info                       Client.Info
//	GET    /asterisk/modules/{name}             Client.Module
//	GET    /applications/{app}                  Client.Application
//	PUT    /applications/{app}/eventFilter      Client.SetEventFilter
//	POST   /applications/{app}/subscription     Client.Subscribe
//	GET    /channels                            Client.Channels
//	GET    /channels/{id}                       Client.Channel
//	GET    /channels/{id}/variable              Client.ChannelVar
//	GET    /channels/{id}/rtp_statistics        Client.RTPStatistics
//	POST   /channels/{id}/snoop/{snoopId}       Client.Snoop
//	POST   /channels/{id}/play/{playbackId}     Client.Play
//	GET    /playbacks/{id}                      Client.Play, when its answer was lost
//	POST   /channels/{id}/answer                Client.Answer
//	POST   /channels/{id}/continue              Client.ContinueInDialplan
//	DELETE /channels/{id}                       Client.Hangup
//	GET    /bridges                             Client.Bridges
//	GET    /endpoints                           Client.Endpoints
//	GET    /events (websocket)                  Stream.Run
//
// Credentials travel in the Authorization header only, in the websocket
// upgrade too: never in an address, an error or a log line.
package ari
