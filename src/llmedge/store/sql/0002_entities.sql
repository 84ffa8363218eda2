-- Organizations, teams, projects, users, keys and roles, what was changed of them, and by whom.

-- both:
CREATE TABLE entity (
    kind text NOT NULL, id text NOT NULL, name text NOT NULL,
    organization text NOT NULL, team text NOT NULL, project text NOT NULL, user_id text NOT NULL,
    state text NOT NULL, data text NOT NULL, version integer NOT NULL,
    created_at bigint NOT NULL, created_by text NOT NULL, updated_at bigint NOT NULL, revision bigint NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE UNIQUE INDEX entity_name ON entity (kind, name) WHERE state <> 'deleted';
CREATE INDEX entity_revision ON entity (revision);
CREATE INDEX entity_team ON entity (team, kind);
CREATE TABLE key_secret (
    digest text PRIMARY KEY, key_id text NOT NULL, pepper_id text NOT NULL, last4 text NOT NULL,
    created_at bigint NOT NULL, expires_at bigint
);
CREATE INDEX key_secret_key ON key_secret (key_id);
CREATE TABLE revision (name text PRIMARY KEY, number bigint NOT NULL);
INSERT INTO revision VALUES ('entity', 0);
CREATE TABLE audit (
    n bigint PRIMARY KEY, at bigint NOT NULL, actor text NOT NULL, peer text NOT NULL, request_id text NOT NULL,
    action text NOT NULL, kind text NOT NULL, id text NOT NULL, team text NOT NULL,
    before text NOT NULL, after text NOT NULL, previous text NOT NULL, digest text NOT NULL
);
CREATE TABLE budget_event (
    budget text NOT NULL, at bigint NOT NULL, action text NOT NULL, amount bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (budget, at)
);
