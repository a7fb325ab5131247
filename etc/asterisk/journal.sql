PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS cel (AcctId INTEGER PRIMARY KEY AUTOINCREMENT, eventtype, eventtime, cidname, cidnum, cidani, cidrdnis, ciddnid, exten, context, channame, appname, appdata, accountcode, uniqueid, linkedid, userfield, peer, extra);
