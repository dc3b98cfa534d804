-- What else MLflow 3 keeps: datasets and their inputs, logged models, traces, evaluations, reviews, the gateway, tool
-- servers, webhooks. A row at least in each table; `mod.rs` lists those that stay empty. Nothing here acts by itself:
-- webhooks are off, jobs are done, secrets hold nothing.

-- Datasets: one for each experiment, read by its first five runs.
CREATE TEMPORARY TABLE seed_some ON COMMIT DROP AS
    SELECT *, md5('lifeboat seed dataset ' || e) AS dataset, 'm-' || md5('lifeboat seed model ' || e || '/' || r) AS model,
        'tr-' || md5('lifeboat seed trace ' || e || '/' || r) AS trace, left(md5('lifeboat seed span ' || e || '/' || r), 16) AS span
    FROM seed_runs WHERE r <= 5;
INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source, dataset_schema,
        dataset_profile)
    SELECT dataset, experiment, 'measurements-' || e, left(dataset, 8), 'local', '{"uri": "measurements-' || e || '.parquet"}',
        '{"mlflow_colspec": [{"type": "double", "name": "x", "required": true}]}', '{"num_rows": ' || e * 1000 || '}'
    FROM seed_some WHERE r = 1;
INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)
    SELECT md5('lifeboat seed input ' || e || '/' || r), 'DATASET', dataset, 'RUN', id, 0 FROM seed_some
    UNION ALL SELECT md5('lifeboat seed output ' || e || '/' || r), 'RUN_OUTPUT', id, 'MODEL_OUTPUT', model, 0
        FROM seed_some WHERE r <= 2;
INSERT INTO input_tags (input_uuid, name, value)
    SELECT md5('lifeboat seed input ' || e || '/' || r), 'mlflow.data.context', CASE r WHEN 5 THEN 'evaluation' ELSE 'training' END
    FROM seed_some;

-- Logged models: two of each experiment.
INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,
        last_updated_timestamp_ms, status, lifecycle_stage, model_type, source_run_id)
    SELECT model, experiment, 'classifier-' || r, 'mlflow-artifacts:/' || experiment || '/models/' || model || '/artifacts',
        started, started, 2, CASE WHEN r = 2 AND e % 5 = 0 THEN 'deleted' ELSE 'active' END, 'classifier', id
    FROM seed_some WHERE r <= 2;
INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value)
    SELECT model, experiment, 'depth', (e % 9 + r)::text FROM seed_some WHERE r <= 2;
INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)
    SELECT model, experiment, 'purpose', 'seed' FROM seed_some WHERE r <= 2;
INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, experiment_id,
        run_id, dataset_uuid, dataset_name, dataset_digest)
    SELECT model, 'accuracy', started, 0, 0.5 + r / 10.0 + e / 1000.0, experiment, id, dataset, 'measurements-' || e,
        left(dataset, 8)
    FROM seed_some WHERE r <= 2;

-- Traces: two of each experiment, of a root span and one below it.
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status, request_preview,
        response_preview, trace_name, session_id, input_tokens, output_tokens, total_tokens, total_cost)
    SELECT trace, experiment, started, 90 + r, CASE r WHEN 1 THEN 'OK' ELSE 'ERROR' END, '"question ' || e || '"',
        '"answer ' || e || '"', 'answer', 'session-' || e, 100 + e, 20 + r, 120 + e + r, (e + r) / 1000.0
    FROM seed_some WHERE r <= 2;
INSERT INTO trace_tags (key, value, request_id)
    SELECT key, value, trace FROM seed_some, LATERAL (VALUES ('mlflow.trace.spansLocation', 'TRACKING_STORE'),
        ('mlflow.artifactLocation', 'mlflow-artifacts:/' || experiment || '/traces/' || trace || '/artifacts')) t (key, value)
    WHERE r <= 2;
INSERT INTO trace_request_metadata (key, value, request_id)
    SELECT key, value, trace FROM seed_some, LATERAL (VALUES ('mlflow.trace_schema.version', '3'),
        ('mlflow.sourceRun', id)) t (key, value)
    WHERE r <= 2;
INSERT INTO trace_metrics (request_id, key, value) SELECT trace, 'latency', 90 + r FROM seed_some WHERE r <= 2;
INSERT INTO spans (trace_id, experiment_id, span_id, parent_span_id, name, type, status, start_time_unix_nano,
        end_time_unix_nano, content, total_cost, model_name, model_provider)
    SELECT trace, experiment, id_of, parent, name, type, status, begun, ended,
        json_build_object('trace_id', encode(decode(substr(trace, 4), 'hex'), 'base64'),
            'span_id', encode(decode(id_of, 'hex'), 'base64'), 'parent_span_id', encode(decode(parent, 'hex'), 'base64'),
            'name', name, 'start_time_unix_nano', begun, 'end_time_unix_nano', ended, 'events', json_build_array(),
            'status', json_build_object('code', 'STATUS_CODE_' || status, 'message', ''),
            'attributes', json_build_object('mlflow.traceRequestId', to_json(trace)::text, 'mlflow.spanType', to_json(type)::text)
        )::text, (e + r) / 1000.0, 'small', 'nobody'
    FROM seed_some, LATERAL (VALUES (span, NULL, 'answer', 'CHAIN', 0, 90), (left(md5(span), 16), span, 'ask', 'LLM', 5, 80))
            t (id_of, parent, name, type, offset_ms, length_ms),
        LATERAL (SELECT (started + offset_ms) * 1000000 AS begun, (started + offset_ms + length_ms) * 1000000 AS ended,
            CASE r WHEN 1 THEN 'OK' ELSE 'ERROR' END AS status) u
    WHERE r <= 2;
INSERT INTO span_metrics (trace_id, span_id, key, value) SELECT trace, span, 'tokens', 120 + e + r FROM seed_some WHERE r <= 2;
INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, last_updated_timestamp,
        source_type, source_id, run_id, span_id, rationale, valid, experiment_id, trace_timestamp_ms, aggregate_value,
        is_numeric_value)
    SELECT 'a-' || md5('lifeboat seed assessment ' || e || '/' || r), trace, 'helpful', 'feedback', '0.' || r, started, started,
        'HUMAN', 'seed', id, span, 'as planted', true, experiment, started, r / 10.0, true
    FROM seed_some WHERE r <= 2;
INSERT INTO issues (issue_id, experiment_id, name, description, status, severity, source_run_id, created_timestamp,
        last_updated_timestamp, created_by)
    SELECT 'iss-' || md5('lifeboat seed issue ' || e), experiment, 'slow answers', 'answers of experiment ' || e || ' are slow',
        'pending', 'low', id, started, started, 'seed'
    FROM seed_some WHERE r = 1;

-- Evaluations and reviews: of the first experiment.
CREATE TEMPORARY TABLE seed_one ON COMMIT DROP AS SELECT * FROM seed_some WHERE e = 1 AND r = 1;
INSERT INTO evaluation_datasets (dataset_id, name, schema, profile, digest, created_time, last_update_time, created_by)
    SELECT 'd-seed', 'seed-questions', '{}', '{}', left(dataset, 8), started, started, 'seed' FROM seed_one;
INSERT INTO evaluation_dataset_tags (dataset_id, key, value) VALUES ('d-seed', 'team', 'team-1');
INSERT INTO evaluation_dataset_records (dataset_record_id, dataset_id, inputs, expectations, created_time, last_update_time,
        input_hash)
    SELECT 'dr-seed-' || q, 'd-seed', json_build_object('question', q), json_build_object('answer', q * q), started, started,
        md5('lifeboat seed record ' || q)
    FROM seed_one, generate_series(1, 10) q;
INSERT INTO entity_associations (association_id, source_type, source_id, destination_type, destination_id, created_time)
    SELECT 'as-seed', 'evaluation_dataset', 'd-seed', 'experiment', experiment::text, started FROM seed_one;
INSERT INTO scorers (experiment_id, scorer_name, scorer_id) SELECT experiment, 'brevity', 'sc-seed' FROM seed_one;
INSERT INTO scorer_versions (scorer_id, scorer_version, serialized_scorer, creation_time)
    SELECT 'sc-seed', 1, '{"name": "brevity"}', started FROM seed_one;
INSERT INTO online_scoring_configs (online_scoring_config_id, scorer_id, sample_rate, experiment_id)
    SELECT 'os-seed', 'sc-seed', 0, experiment FROM seed_one;
INSERT INTO label_schemas (schema_id, experiment_id, name, type, instruction, input_type, input_config, created_by,
        created_time, last_update_time)
    SELECT 'ls-seed', experiment, 'verdict', 'feedback', 'Is it right?', 'text', '{}', 'seed', started, started FROM seed_one;
INSERT INTO review_queues (queue_id, experiment_id, name, queue_type, created_by, creation_time_ms, last_update_time_ms, name_key)
    SELECT 'rq-seed', experiment, 'Seed', 'custom', 'seed', started, started, 'seed' FROM seed_one;
INSERT INTO review_queue_users (queue_id, user_id) VALUES ('rq-seed', 'seed');
INSERT INTO review_queue_items (queue_id, item_type, item_id, status, creation_time_ms, last_update_time_ms)
    SELECT 'rq-seed', 'trace', trace, 'pending', started, started FROM seed_one;
INSERT INTO review_queue_label_schemas (queue_id, schema_id) VALUES ('rq-seed', 'ls-seed');

-- The gateway. Its secret is a byte that opens nothing.
INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value, provider, created_at,
        last_updated_at)
    SELECT 's-seed', 'seed', '\x00', '\x00', 1, '{}', 'openai', started, started FROM seed_one;
INSERT INTO model_definitions (model_definition_id, name, secret_id, provider, model_name, created_at, last_updated_at)
    SELECT 'md-seed', 'seed-small', 's-seed', 'openai', 'small', started, started FROM seed_one;
INSERT INTO endpoints (endpoint_id, name, created_at, last_updated_at, experiment_id)
    SELECT 'e-seed', 'seed-endpoint', started, started, experiment FROM seed_one;
INSERT INTO endpoint_model_mappings (mapping_id, endpoint_id, model_definition_id, weight, created_at)
    SELECT 'em-seed', 'e-seed', 'md-seed', 1, started FROM seed_one;
INSERT INTO endpoint_bindings (endpoint_id, resource_type, resource_id, created_at, last_updated_at)
    SELECT 'e-seed', 'scorer', 'sc-seed', started, started FROM seed_one;
INSERT INTO endpoint_tags (key, value, endpoint_id) VALUES ('team', 'team-1', 'e-seed');
INSERT INTO budget_policies (budget_policy_id, budget_unit, budget_amount, duration_unit, duration_value, target_scope,
        budget_action, created_at, last_updated_at)
    SELECT 'bp-seed', 'USD', 10, 'MONTHS', 1, 'GLOBAL', 'ALERT', started, started FROM seed_one;
INSERT INTO guardrails (guardrail_id, name, scorer_id, scorer_version, stage, action, created_at, last_updated_at)
    SELECT 'gr-seed', 'seed-brevity', 'sc-seed', 1, 'AFTER', 'VALIDATION', started, started FROM seed_one;
INSERT INTO guardrail_configs (endpoint_id, guardrail_id, execution_order, created_at)
    SELECT 'e-seed', 'gr-seed', 1, started FROM seed_one;

-- Tool servers, webhooks that are off, and a job that is done.
INSERT INTO mcp_servers (name, display_name, description, created_at, last_updated_at)
    SELECT 'seed/clock', 'Clock', 'Tells the time.', started, started FROM seed_one;
INSERT INTO mcp_server_versions (name, version, version_major, version_minor, version_patch, version_prerelease_sort_key,
        server_json, status, created_at, last_updated_at)
    SELECT 'seed/clock', '1.0.0', 1, 0, 0, '', '{"name": "seed/clock", "version": "1.0.0"}', 'active', started, started FROM seed_one;
INSERT INTO mcp_server_tags (name, key, value) VALUES ('seed/clock', 'team', 'team-1');
INSERT INTO mcp_server_version_tags (name, version, key, value) VALUES ('seed/clock', '1.0.0', 'validated', 'yes');
INSERT INTO mcp_server_aliases (name, alias, version) VALUES ('seed/clock', 'stable', '1.0.0');
INSERT INTO mcp_access_endpoints (id, server_name, server_version, url, created_at, last_updated_at)
    SELECT 'mc-seed', 'seed/clock', '1.0.0', 'https://clock.invalid/mcp', started, started FROM seed_one;
INSERT INTO webhooks (webhook_id, name, description, url, status, creation_timestamp, last_updated_timestamp)
    SELECT 'wh-seed', 'seed', 'off', 'https://hook.invalid/', 'DISABLED', started, started FROM seed_one;
INSERT INTO webhook_events (webhook_id, entity, action) VALUES ('wh-seed', 'model_version', 'created');
INSERT INTO jobs (id, creation_time, job_name, params, status, result, retry_count, last_update_time)
    SELECT 'j-seed', started, 'seed', '{}', 3, 'null', 0, started FROM seed_one;
