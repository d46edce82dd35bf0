// Show.cs in Pascal.
program show;

{$IFDEF FPC}{$MODE DELPHI}{$ENDIF}

uses
  {$IFDEF UNIX}cthreads,{$ENDIF} SysUtils, bass_webrtc;

const
  // UTF-8
  Guest = #$C3#$84'nne';
  OtherName = 'Zo'#$C3#$AB;
  Goodbye = 'sch'#$C3#$B6'n';

var
  Server: Pointer;
  Invite: array[0..BASS_WEBRTC_INVITE_ID_CAPACITY - 1] of AnsiChar;

procedure Check(Condition: LongBool; const What: string);
begin
  if Condition then
    Exit;
  WriteLn(StdErr, 'check failed: ', What, ' (error ', BASS_WEBRTC_ErrorGetCode, ': ', BASS_WEBRTC_ErrorGetMessage, ')');
  Halt(1);
end;

procedure TellCall(event_type: Cardinal; call: PWebRtcCallStatsFFI; reason: PAnsiChar; user: Pointer); cdecl;
var
  Same: WebRtcCallStatsFFI;
begin
  Check((user = @Invite) and (StrComp(call^.invite_id, Invite) = 0) and (call^.recording = 0), 'on_call');
  WriteLn(event_type, ' ', call^.call_id, ' ', PAnsiChar(@call^.name), ' ', call^.state, ' ', Round(call^.gain * 100),
    ' [', reason, ']');
  Flush(Output);
  if event_type <> BASS_WEBRTC_CALL_EVENT_BEGAN then
    Exit;
  FillChar(Same, SizeOf(Same), 0);
  Check(BASS_WEBRTC_GetCallStats(Server, call^.call_id, Same), 'GetCallStats');
  Check((StrComp(Same.name, call^.name) = 0) and (Same.return_gain = 1.0), 'same');
  Check(BASS_WEBRTC_SetCallGain(Server, call^.call_id, 0.5), 'SetCallGain');
  Check(BASS_WEBRTC_SetCallState(Server, call^.call_id, BASS_WEBRTC_CALL_STATE_ON_AIR), 'SetCallState');
  Check(BASS_WEBRTC_SetCallName(Server, call^.call_id, OtherName), 'SetCallName');
end;

var
  Config: WebRtcConfigFFI;
  Callbacks: CallCallbacks;
  Link: array[0..BASS_WEBRTC_LINK_CAPACITY - 1] of AnsiChar;
  LinkLength: Cardinal;
begin
  FillChar(Config, SizeOf(Config), 0);
  Config.signaling_mode := BASS_WEBRTC_SIGNALING_HTTP;
  Server := BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, @Config);
  Callbacks.on_call := TellCall;
  Callbacks.user_data := @Invite;
  Check(BASS_WEBRTC_SetCalls(Server, BASS_WEBRTC_CALL_STATE_WAITING, 0, 1), 'SetCalls');
  Check(BASS_WEBRTC_SetCallCallbacks(Server, @Callbacks) and BASS_WEBRTC_Start(Server), 'Start');
  LinkLength := 0;
  Check(BASS_WEBRTC_CreateInvite(Server, Guest, 0, 0, @Link, SizeOf(Link), @LinkLength, @Invite), 'CreateInvite');
  Check((LinkLength = StrLen(PAnsiChar(@Link))) and (Invite[0] <> #0), 'link');
  WriteLn(PAnsiChar(@Link));
  Flush(Output);
  ReadLn;
  Check(BASS_WEBRTC_HangUpCall(Server, BASS_WEBRTC_GetNextCall(Server, 0), Goodbye), 'HangUpCall');
  ReadLn;
  Check(BASS_WEBRTC_GetNextCall(Server, 0) = 0, 'GetNextCall');
  Check(BASS_WEBRTC_SetCallCallbacks(Server, nil) and BASS_WEBRTC_Free(Server), 'Free');
end.
