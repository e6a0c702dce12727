//! `/metrics`, `/livez` and `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Server;
use crate::config::ListenerMode;
use crate::filters::virus::ScannerState;

/// Serves until the task is dropped.
pub async fn serve(server: Arc<Server>, listener: TcpListener) {
    let (metrics, ready) = (Arc::clone(&server), Arc::clone(&server));
    let router = Router::new()
        .route("/metrics", get(move || async move { text(metrics.metrics.text()) }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness(&ready) }));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "metrics are no longer served");
    }
}

fn text(body: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body)
}

/// Ready means: a mail that came now would not have to wait because of us. What is off or missing is named.
fn readiness(server: &Server) -> (StatusCode, String) {
    let site = server.site.load();
    let mut body = String::new();
    let mut ready = true;
    if *server.stopping.borrow() {
        ready = false;
        body.push_str("stopping\n");
    }
    for status in site.scanners.status() {
        if status.state == ScannerState::Down {
            ready = false;
        }
        body.push_str(&format!("scanner {}: {}\n", status.name, status.state.as_str()));
    }
    for status in site.engines.status() {
        ready &= !status.holds_mail();
        body.push_str(&format!("engine {}: {}\n", status.name, status.state.as_str()));
    }
    for listener in &site.config.listeners {
        let mode = match listener.mode {
            ListenerMode::AfterQueue => "after-queue",
            ListenerMode::PreQueue => "pre-queue",
        };
        body.push_str(&format!("listener {}: {} {mode}\n", listener.name, listener.listen));
    }
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, body)
}
