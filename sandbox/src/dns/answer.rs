//! One question, one answer.

use super::zone::{Said, authority};
use super::{Asked, Manner, Over, Shared, lock, mono_ns};
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::Record;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::sync::{Arc, Mutex};

/// Over UDP no answer is longer than this, whatever the asker could take: what CoreDNS keeps to.
const LONGEST_DATAGRAM: u16 = 1232;

/// Answers from the shared records, in the manner of the moment.
pub(super) struct Handler(pub Arc<Mutex<Shared>>);

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, handle: R) -> ResponseInfo {
        let over = if request.protocol() == Protocol::Udp { Over::Udp } else { Over::Tcp };
        let Ok(info) = request.request_info() else {
            return send(request, handle, Vec::new(), Vec::new(), ResponseCode::FormErr, false).await;
        };
        let (name, kind) = (hickory_server::proto::rr::Name::from(info.query.name().clone()), info.query.query_type());
        let (manner, said) = {
            let mut shared = lock(&self.0);
            let told = name.to_ascii().trim_end_matches('.').to_owned();
            shared.asked.push(Asked { name: told, kind: kind.to_string(), over, at_ns: mono_ns() });
            shared.turns += 1;
            (shared.manner, shared.zone.say(&name, kind, shared.turns))
        };
        let code = match manner {
            Manner::Silent => return unsent(request),
            Manner::TruncatedWithoutTcp if over == Over::Tcp => return unsent(request),
            Manner::Truncated | Manner::TruncatedWithoutTcp if over == Over::Udp => {
                return send(request, handle, Vec::new(), Vec::new(), ResponseCode::NoError, true).await;
            }
            Manner::ServFail => ResponseCode::ServFail,
            Manner::NxDomain => ResponseCode::NXDomain,
            Manner::Refused => ResponseCode::Refused,
            Manner::Late(wait) => {
                tokio::time::sleep(wait).await;
                ResponseCode::NoError
            }
            Manner::Well | Manner::Truncated | Manner::TruncatedWithoutTcp => ResponseCode::NoError,
        };
        let Said { answers, additionals, exists } = said;
        match code {
            ResponseCode::NoError if exists => send(request, handle, answers, additionals, code, false).await,
            ResponseCode::NoError => send(request, handle, Vec::new(), Vec::new(), ResponseCode::NXDomain, false).await,
            code => send(request, handle, Vec::new(), Vec::new(), code, false).await,
        }
    }
}

/// Too long an answer is cut by what sends it, and says so.
async fn send<R: ResponseHandler>(
    request: &Request,
    mut handle: R,
    answers: Vec<Record>,
    additionals: Vec<Record>,
    code: ResponseCode,
    truncated: bool,
) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.authoritative = true;
    metadata.response_code = code;
    metadata.truncation = truncated;
    let nothing = answers.is_empty() && !truncated && matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    let soa = nothing.then(authority);
    let edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(512, LONGEST_DATAGRAM));
        edns
    });
    let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
    let response = builder.build(metadata, &answers, [], &soa, &additionals);
    // An asker who has gone is no concern of ours.
    handle.send_response(response).await.unwrap_or_else(|_| unsent(request))
}

/// For the caller's books only: nothing is sent.
fn unsent(request: &Request) -> ResponseInfo {
    let mut metadata = Metadata::new(request.metadata.id, MessageType::Response, OpCode::Query);
    metadata.response_code = ResponseCode::ServFail;
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}
