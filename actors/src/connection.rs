//! One connection: reads frames, opens them, answers.
