//! A call of attention: its arguments, opened and checked, and the run.

use crate::failure::Failure;
use crate::handle;
use crate::memory::{Kind, Memory};
use crate::options::Options;
use crate::outputs::Outputs;
use crate::packed_keys::PackedKeys;
use crate::parallel_for::Host;
use crate::parameters;
use crate::pool::Pool;
use crate::spans;
use crate::structs::Call;
use crate::workspace::{Lent, Workspace};
use softdot_core::{Keys, KeysValues, Threads};

/// What a call is opened for.
#[derive(Debug)]
pub enum Purpose<'p> {
    Compute,
    /// Only to make its workspace large enough.
    Reserve,
    /// Only to say how many floats `workspace_memory` has to have.
    Measure(&'p mut usize),
}

/// The arguments of a call, none of which is written to beside another.
pub struct Arguments<'a> {
    query: Memory,
    keys: KeySource<'a>,
    value: Option<Memory>,
    options: Options<'a>,
    outputs: Outputs<'a>,
    workspace: Option<&'a Workspace>,
    lent: Option<Lent>,
    pool: Option<&'a Pool>,
    parallel_for: Option<Host>,
}

#[derive(Clone, Copy)]
enum KeySource<'a> {
    View(Memory),
    Packed(&'a PackedKeys),
}

impl<'a> Arguments<'a> {
    /// # Safety
    /// `call` is null, not aligned, or points to a call whose pointers and counts are as the header
    /// says, for `'a`.
    pub unsafe fn open(call: *const Call) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let call = unsafe { parameters::read("call", call)? };
        let view = |argument, view| {
            // SAFETY: the caller's promise.
            unsafe { Memory::of_view(argument, view, Kind::Floats) }
        };
        // SAFETY: the caller's promise.
        let arguments = unsafe {
            Arguments {
                query: view("query", call.query)?.ok_or(Failure::Null { argument: "query" })?,
                keys: KeySource::open(
                    view("key", call.key)?,
                    handle::optional("packed_keys", call.packed_keys)?,
                )?,
                value: view("value", call.value)?,
                options: Options::open(call.options)?,
                outputs: Outputs::open(call.outputs)?,
                workspace: handle::optional("workspace", call.workspace)?,
                lent: Lent::open(call.workspace_memory, call.workspace_bytes)?,
                pool: handle::optional("pool", call.pool)?,
                parallel_for: Host::open(&call)?,
            }
        };
        if arguments.workspace.is_some() && arguments.lent.is_some() {
            let (argument, expected) = ("workspace_memory", "null with workspace");
            return Err(Failure::Unset { argument, expected });
        }
        arguments.check_spans()?;
        Ok(arguments)
    }

    fn check_spans(&self) -> Result<(), Failure> {
        let key = match self.keys {
            KeySource::View(key) => Some(key.span()),
            KeySource::Packed(_) => None,
        };
        let value = self.value.map(|value| value.span());
        let own = [Some(self.query.span()), key, value, self.outputs.read()];
        let [a, b, c, d] = own;
        let [e, f, g, h, i] = self.options.spans();
        let read = [a, b, c, d, e, f, g, h, i];
        let (written, lent) = (self.outputs.written(), [self.lent.map(|lent| lent.span())]);
        spans::check(&written, &lent)?;
        spans::check(&read, &lent)?;
        spans::check(&read, &written)
    }

    /// Computes, or does what else it is opened for.
    ///
    /// # Safety
    /// As [`Arguments::open`], and nothing else uses the memory of the outputs and the workspace's.
    pub unsafe fn perform(self, purpose: Purpose<'_>) -> Result<(), Failure> {
        // SAFETY: the caller's promise, here and below.
        unsafe {
            match (self.workspace, self.lent, &purpose) {
                (Some(workspace), ..) => self.perform_in(&mut *workspace.take()?, purpose),
                (None, Some(lent), _) => self.perform_in(&mut lent.workspace(), purpose),
                (None, None, Purpose::Reserve) => Err(Failure::Null { argument: "workspace" }),
                (None, None, _) => self.perform_in(&mut softdot_core::Workspace::new(), purpose),
            }
        }
    }

    /// # Safety
    /// As [`Arguments::perform`].
    unsafe fn perform_in(
        self,
        workspace: &mut softdot_core::Workspace<'_>,
        purpose: Purpose<'_>,
    ) -> Result<(), Failure> {
        let packed = match self.keys {
            KeySource::View(_) => None,
            KeySource::Packed(packed) => Some(packed.read()?),
        };
        // SAFETY: the caller's promise.
        let (query, value) =
            unsafe { (self.query.floats(), self.value.map(|value| value.floats())) };
        let keys = match (&packed, self.keys) {
            // SAFETY: the caller's promise.
            (None, KeySource::View(key)) => Keys::View(unsafe { key.floats() }),
            (Some(packed), _) => Keys::Packed(packed),
            (None, KeySource::Packed(_)) => unreachable!("packed keys have been read"),
        };
        let pool = self.pool.filter(|_| self.multiply_adds(keys) >= Threads::SERIAL_WORK);
        let threads = match (pool, &self.parallel_for) {
            (Some(_), _) => Threads::Pool,
            (None, Some(host)) => Threads::ParallelFor(host),
            (None, None) => Threads::Serial,
        };
        let keys: KeysValues<'_> = match value {
            Some(value) => (keys, value).into(),
            None => keys.into(),
        };
        // SAFETY: the caller's promise; `check_spans` saw that no output overlaps anything.
        let (attention, outputs) =
            unsafe { (self.options.attention().threads(threads), self.outputs.views()) };
        let work = move || match purpose {
            Purpose::Compute => attention.run(query, keys, outputs, workspace),
            Purpose::Reserve => attention.reserve(query, keys, outputs, workspace),
            Purpose::Measure(elements) => {
                *elements = attention.workspace_elements(query, keys, outputs)?;
                Ok(())
            }
        };
        match pool {
            Some(pool) => pool.run(work)??,
            None => work()?,
        }
        Ok(())
    }

    /// Of dot products, and of the weights with the values.
    fn multiply_adds(&self, keys: Keys<'_>) -> usize {
        let [_, _, keys, _] = match keys {
            Keys::View(view) => view.shape(),
            Keys::Packed(packed) => packed.shape(),
            _ => return 0,
        };
        let [batch, heads, rows, head_dim] = self.query.shape();
        let [.., v_dim] = self.value.map_or([0; 4], |value| value.shape());
        let columns = head_dim.saturating_add(v_dim);
        [batch, heads, rows, keys].into_iter().fold(columns, usize::saturating_mul)
    }
}

impl<'a> KeySource<'a> {
    fn open(key: Option<Memory>, packed: Option<&'a PackedKeys>) -> Result<Self, Failure> {
        match (key, packed) {
            (Some(key), None) => Ok(KeySource::View(key)),
            (None, Some(packed)) => Ok(KeySource::Packed(packed)),
            (None, None) => Err(Failure::Null { argument: "key" }),
            (Some(_), Some(_)) => {
                Err(Failure::Unset { argument: "packed_keys", expected: "null with key" })
            }
        }
    }
}
