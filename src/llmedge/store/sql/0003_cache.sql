-- What answers from the cache spared: of a call, and in the sums.

-- postgresql:
ALTER TABLE ledger ADD COLUMN cache text NOT NULL DEFAULT '', ADD COLUMN saved bigint NOT NULL DEFAULT 0,
    ADD COLUMN spared_input bigint NOT NULL DEFAULT 0, ADD COLUMN spared_output bigint NOT NULL DEFAULT 0;

-- both:
ALTER TABLE rollup_day ADD COLUMN hits bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN saved bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN spared_input bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_day ADD COLUMN spared_output bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_key ADD COLUMN hits bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_key ADD COLUMN saved bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_key ADD COLUMN spared_input bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_key ADD COLUMN spared_output bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_model ADD COLUMN hits bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_model ADD COLUMN saved bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_model ADD COLUMN spared_input bigint NOT NULL DEFAULT 0;
ALTER TABLE rollup_hour_model ADD COLUMN spared_output bigint NOT NULL DEFAULT 0;
