//! The recipients of one hearer: one for each message that it hears. Whoever has them knows no actor.

use actix::prelude::*;

/// Takes a kind of message.
pub trait Hears<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// Where it goes.
    fn post(&self) -> &Recipient<M>;
}

/// Declares a hearer: a name, and a field for each message. It is made of the address of whatever actor hears all of them.
/// A clone shares the recipients: it is as cheap as a pointer, and has no more room in the mailbox than the first one.
macro_rules! hearer {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $message:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(std::sync::Arc<Recipients>);

        struct Recipients {
            $($field: actix::Recipient<$message>,)+
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl<A> From<&actix::Addr<A>> for $name
        where
            A: actix::Actor $(+ actix::Handler<$message>)+,
            A::Context: Sized $(+ actix::dev::ToEnvelope<A, $message>)+,
        {
            fn from(actor: &actix::Addr<A>) -> Self {
                Self(std::sync::Arc::new(Recipients { $($field: actor.clone().recipient(),)+ }))
            }
        }

        $(impl $crate::hearer::Hears<$message> for $name {
            fn post(&self) -> &actix::Recipient<$message> {
                &self.0.$field
            }
        })+

        impl $name {
            /// Sends a message, and waits for the answer.
            pub fn send<M>(&self, message: M) -> actix::prelude::RecipientRequest<M>
            where
                Self: $crate::hearer::Hears<M>,
                M: actix::Message + Send + 'static,
                M::Result: Send,
            {
                $crate::hearer::Hears::post(self).send(message)
            }

            /// Sends a message that takes its place in the mailbox however full that is.
            pub fn do_send<M>(&self, message: M)
            where
                Self: $crate::hearer::Hears<M>,
                M: actix::Message + Send + 'static,
                M::Result: Send,
            {
                $crate::hearer::Hears::post(self).do_send(message);
            }

            /// Sends a message, if there is room.
            ///
            /// # Errors
            ///
            /// The mailbox is full, or its actor is gone: the message comes back.
            pub fn try_send<M>(&self, message: M) -> Result<(), actix::prelude::SendError<M>>
            where
                Self: $crate::hearer::Hears<M>,
                M: actix::Message + Send + 'static,
                M::Result: Send,
            {
                $crate::hearer::Hears::post(self).try_send(message)
            }

            /// Where one kind of message goes.
            #[must_use]
            pub fn recipient<M>(&self) -> actix::Recipient<M>
            where
                Self: $crate::hearer::Hears<M>,
                M: actix::Message + Send + 'static,
                M::Result: Send,
            {
                $crate::hearer::Hears::post(self).clone()
            }
        }
    };
}

pub(crate) use hearer;
