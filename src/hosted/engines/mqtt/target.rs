//! Where a server is, and how a connection to it is made.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectAuth, ConnectProperties, ConnectReturnCode, Packet,
    Subscribe, SubscribeFilter, SubscribeReasonCode,
};
use rumqttc::{RetainForwardRule, mqttbytes::v5::Publish};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::packets::{Frame, Lost, Socket, Wire};
use super::reason;
use super::settings::{Place, Settings};
use crate::hosted::Reason;
use crate::hosted::engines::failed::{disconnected, no_answer, refused};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::engines::tls;

/// How many bytes a packet may have if the server does not say.
const LARGEST: usize = 268_435_455;

/// A server, the login there, and how to connect to it.
pub(super) struct Target {
    place: Place,
    tls: Option<TlsConnector>,
    keep_alive: Duration,
    pub(super) timeout: Duration,
}

/// What a client says of itself when it connects.
pub(super) struct Hello {
    pub(super) client_id: String,
    /// For how many seconds the server keeps the session. 0 begins a new one, and ends it at the
    /// end.
    pub(super) session: u32,
    /// How many messages may come that are not acknowledged.
    pub(super) in_flight: u16,
}

/// What a server says that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// How many bytes a packet may have.
    pub(super) packet: usize,
    /// How many messages may be on their way to it.
    pub(super) in_flight: u16,
    /// It confirms publishes.
    pub(super) confirms: bool,
    pub(super) shares: bool,
    pub(super) keeps_sessions: bool,
}

/// A connection that a server has taken.
pub(super) struct Taken {
    pub(super) wire: Wire,
    pub(super) limits: Limits,
    /// It has a session of this client.
    pub(super) session: bool,
}

impl Target {
    pub(super) fn new(settings: &Settings) -> Result<Self, Reason> {
        let place = settings.place().ok_or_else(|| {
            refused("the URL is not that of a server: `mqtt://host:port` or `mqtts://host:port`")
        })?;
        let tls = if place.tls {
            let client = settings.client_certificate.as_ref();
            let config = tls::config(&settings.certificates, client, true).map_err(refused)?;
            Some(TlsConnector::from(Arc::new(config)))
        } else {
            None
        };
        let timeout = settings.timeout.min(FOR_EVER);
        Ok(Self { place, tls, keep_alive: settings.keep_alive(), timeout })
    }

    async fn socket(&self) -> Result<Box<dyn Socket>, Reason> {
        let shown = self.place.shown();
        let lost = |error: std::io::Error| disconnected(format!("`{shown}`: {error}"));
        let (host, port) = (&*self.place.host, self.place.port);
        let stream = TcpStream::connect((host, port)).await.map_err(lost)?;
        let _ = stream.set_nodelay(true);
        let Some(connector) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_string()).map_err(refused)?;
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(tls::failed(&shown, &error)),
        }
    }

    pub(super) async fn connect(&self, hello: &Hello) -> Result<Taken, Reason> {
        match timeout(self.timeout, self.enter(hello)).await {
            Ok(taken) => taken,
            Err(_) => Err(no_answer(self.place.shown(), self.tls.is_some())),
        }
    }

    pub(super) fn shown(&self) -> String {
        self.place.shown()
    }

    async fn enter(&self, hello: &Hello) -> Result<Taken, Reason> {
        let mut wire = Wire::new(self.socket().await?, self.keep_alive, self.timeout);
        let seconds = self.keep_alive.as_millis().div_ceil(1000);
        let connect = Connect {
            keep_alive: u16::try_from(seconds).unwrap_or(u16::MAX),
            client_id: hello.client_id.clone(),
            clean_start: hello.session == 0,
            properties: Some(ConnectProperties {
                session_expiry_interval: Some(hello.session),
                receive_maximum: Some(hello.in_flight),
                ..ConnectProperties::new()
            }),
        };
        let packet = Packet::Connect(connect, None, self.auth());
        wire.put(&packet).map_err(|_| refused("the client id or the login is too long"))?;
        match wire.next().await {
            Ok(Frame::Packet(Packet::ConnAck(answer))) => self.taken(wire, answer),
            Ok(_) => Err(self.another("it says something else first")),
            Err(Lost { why, .. }) if why.contains("is not MQTT 5") => Err(self.another(&why)),
            Err(lost) => {
                let hint = match self.tls {
                    Some(_) => "does it speak MQTT 5?",
                    None => "does it speak MQTT 5, and without TLS?",
                };
                Err(disconnected(format!("`{}`: {}: {hint}", self.place.shown(), lost.why)))
            }
        }
    }

    fn another(&self, why: &str) -> Reason {
        let shown = self.place.shown();
        refused(format!("`{shown}` does not answer as a server of MQTT 5 does: {why}"))
    }

    fn auth(&self) -> ConnectAuth {
        let Some((username, password)) = self.place.login.clone() else {
            return ConnectAuth::None;
        };
        match (username.is_empty(), password.is_empty()) {
            (true, true) => ConnectAuth::None,
            (false, true) => ConnectAuth::Username { username },
            (true, false) => ConnectAuth::Password { password: password.into() },
            (false, false) => ConnectAuth::UsernamePassword { username, password: password.into() },
        }
    }

    fn taken(&self, mut wire: Wire, answer: ConnAck) -> Result<Taken, Reason> {
        let code = number(answer.code);
        let said = answer.properties;
        if code >= reason::REFUSED {
            let mut why = format!("`{}`: {}", self.place.shown(), reason::shown(code));
            if let Some(text) = said.and_then(|it| it.reason_string) {
                why = format!("{why}: {text}");
            }
            if self.place.login.is_none() && matches!(code, 0x86 | 0x87) {
                why += ": call `login`, or put the name and the password into the URL";
            }
            return Err(if reason::passes(code) { disconnected(why) } else { refused(why) });
        }
        let said = said.as_ref();
        let no = |of: fn(&ConnAckProperties) -> Option<u8>| said.and_then(of) == Some(0);
        if let Some(seconds) = said.and_then(|it| it.server_keep_alive).filter(|it| *it > 0) {
            wire.keep_alive(self.keep_alive.min(Duration::from_secs(seconds.into())));
        }
        let packet = said.and_then(|it| it.max_packet_size).and_then(|it| usize::try_from(it).ok());
        let limits = Limits {
            packet: packet.unwrap_or(LARGEST).min(LARGEST),
            in_flight: said.and_then(|it| it.receive_max).unwrap_or(u16::MAX).max(1),
            confirms: !no(|it| it.max_qos),
            shares: !no(|it| it.shared_subscription_available),
            keeps_sessions: said.and_then(|it| it.session_expiry_interval) != Some(0),
        };
        Ok(Taken { wire, limits, session: answer.session_present })
    }

    /// Subscribes, and waits for the answer. What comes meanwhile is given to `receive`.
    pub(super) async fn subscribe(
        &self,
        wire: &mut Wire,
        filters: &[String],
        qos: QoS,
        mut receive: impl FnMut(&mut Wire, Publish),
    ) -> Result<(), Reason> {
        const ID: u16 = 1; // nothing else here has one
        let filter = |path: &String| SubscribeFilter {
            retain_forward_rule: RetainForwardRule::Never,
            ..SubscribeFilter::new(&**path, qos)
        };
        let filters = filters.iter().map(filter).collect();
        let subscribe = Subscribe { pkid: ID, filters, properties: None };
        let packet = Packet::Subscribe(subscribe);
        wire.put(&packet).map_err(|_| refused("the filters are too long"))?;
        let wait = async {
            loop {
                match wire.next().await {
                    Ok(Frame::Packet(Packet::Publish(message))) => receive(wire, message),
                    Ok(Frame::Packet(Packet::SubAck(answer))) => return Ok(answer),
                    Ok(_) => {}
                    Err(lost) => return Err(disconnected(lost.why)),
                }
            }
        };
        let answer = timeout(self.timeout, wait).await.unwrap_or(Err(Reason::TimedOut))?;
        for code in answer.return_codes {
            match code {
                SubscribeReasonCode::Success(granted) if granted as u8 >= qos as u8 => {}
                SubscribeReasonCode::Success(_) => {
                    return Err(refused("the server confirms nothing: quality of service 0"));
                }
                other => return Err(refused(format!("the subscription: {}", of_filter(other)))),
            }
        }
        Ok(())
    }
}

fn of_filter(code: SubscribeReasonCode) -> String {
    use SubscribeReasonCode as Code;
    reason::shown(match code {
        Code::Success(_) => 0,
        Code::Failure | Code::Unspecified => 0x80,
        Code::ImplementationSpecific => 0x83,
        Code::NotAuthorized => 0x87,
        Code::TopicFilterInvalid => 0x8f,
        Code::PkidInUse => 0x91,
        Code::QuotaExceeded => 0x97,
        Code::SharedSubscriptionsNotSupported => 0x9e,
        Code::SubscriptionIdNotSupported => 0xa1,
        Code::WildcardSubscriptionsNotSupported => 0xa2,
    })
}

fn number(code: ConnectReturnCode) -> u8 {
    use ConnectReturnCode as Code;
    match code {
        Code::Success => 0,
        Code::MalformedPacket => 0x81,
        Code::ProtocolError => 0x82,
        Code::ImplementationSpecificError => 0x83,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => 0x84,
        Code::BadClientId | Code::ClientIdentifierNotValid => 0x85,
        Code::BadUserNamePassword => 0x86,
        Code::NotAuthorized => 0x87,
        Code::ServiceUnavailable | Code::ServerUnavailable => 0x88,
        Code::ServerBusy => 0x89,
        Code::Banned => 0x8a,
        Code::BadAuthenticationMethod => 0x8c,
        Code::TopicNameInvalid => 0x90,
        Code::PacketTooLarge => 0x95,
        Code::QuotaExceeded => 0x97,
        Code::PayloadFormatInvalid => 0x99,
        Code::RetainNotSupported => 0x9a,
        Code::QoSNotSupported => 0x9b,
        Code::UseAnotherServer => 0x9c,
        Code::ServerMoved => 0x9d,
        Code::ConnectionRateExceeded => 0x9f,
        _ => reason::REFUSED,
    }
}
