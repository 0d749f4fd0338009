//! Has a request's fields and body sent in one piece. ureq hands them to the connection one after the
//! other, and each would be a packet of its own.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The last link of a chain of connectors.
#[derive(Debug)]
pub(super) struct Together;

impl<In: Transport> Connector<In> for Together {
    type Out = InOnePiece<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<InOnePiece<In>>, Error> {
        let held = Vec::new();
        Ok(chained.map(|inner| InOnePiece { inner, held }))
    }
}

/// A connection that sends only when its buffer is full or an answer is waited for.
#[derive(Debug)]
pub(super) struct InOnePiece<T> {
    inner: T,
    held: Vec<u8>,
}

impl<T: Transport> InOnePiece<T> {
    fn send(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let amount = self.held.len();
        if amount == 0 {
            return Ok(());
        }
        self.inner.buffers().output()[..amount].copy_from_slice(&self.held);
        self.held.clear();
        self.inner.transmit_output(amount, timeout)
    }
}

impl<T: Transport> Transport for InOnePiece<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let (room, more) = (output.len(), output[..amount].to_vec());
        if self.held.len() + amount > room {
            self.send(timeout)?;
        }
        self.held.extend(more);
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.send(timeout)?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
