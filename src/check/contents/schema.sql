-- The schema as lines of text: an object, a part of it, and how that part is.
-- Only what says the same after an honest dump and restore: no oids, no file numbers, no numbers of columns.
-- Asked with the search path `pg_catalog`, so that every other name comes qualified.
WITH spaces AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), members AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relations AS (
    SELECT c.*, CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' WHEN 'S' THEN 'sequence ' ELSE 'table ' END
            || format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN spaces n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
), functions AS (
    SELECT p.*, 'function ' || format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
    FROM pg_proc p JOIN spaces n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
), types AS (
    SELECT t.*, 'type ' || format('%I.%I', n.nspname, t.typname) AS name
    FROM pg_type t JOIN spaces n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
        AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
), rights AS (
    -- No list of rights means the default one, and a restore may write that out.
    SELECT 'database' AS name, coalesce(datacl, acldefault('d', datdba)) AS acl FROM pg_database
        WHERE datname = current_database()
    UNION ALL SELECT 'schema ' || quote_ident(nspname), coalesce(nspacl, acldefault('n', nspowner)) FROM spaces
    UNION ALL SELECT name, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
        FROM relations
    UNION ALL SELECT name, coalesce(proacl, acldefault('f', proowner)) FROM functions
    UNION ALL SELECT name, coalesce(typacl, acldefault('T', typowner)) FROM types
)
SELECT 'database' AS object, 'owner and encoding' AS part, concat_ws(', ', pg_get_userbyid(datdba),
        pg_encoding_to_char(encoding), datcollate, datctype) AS text
    FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'database', 'settings of ' || CASE setrole WHEN 0 THEN 'all' ELSE pg_get_userbyid(setrole)::text END,
        array_to_string(ARRAY(SELECT s FROM unnest(setconfig) s ORDER BY s), ', ')
    FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT 'schema ' || quote_ident(nspname), 'owner', pg_get_userbyid(nspowner) FROM spaces
UNION ALL
SELECT 'extension ' || quote_ident(extname), 'schema', n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
UNION ALL
SELECT name, 'rights', string_agg(granted, '; ' ORDER BY granted) FROM (
        SELECT name, CASE grantee WHEN 0 THEN 'all' ELSE pg_get_userbyid(grantee)::text END || ': '
            || string_agg(privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, ' ' ORDER BY privilege_type) AS granted
        FROM rights, aclexplode(acl) WHERE privilege_type <> 'MAINTAIN' -- which servers before 17 do not know
        GROUP BY name, grantee) each_role
    GROUP BY name
UNION ALL
SELECT name, 'owner', pg_get_userbyid(relowner) FROM relations
UNION ALL
SELECT name, 'settings', concat_ws(', ', 'kind ' || relkind::text, 'persistence ' || relpersistence::text,
        'replica identity ' || relreplident::text, (SELECT amname FROM pg_am WHERE oid = relam),
        array_to_string(reloptions, ' '), CASE WHEN relrowsecurity THEN 'row security' END,
        CASE WHEN relforcerowsecurity THEN 'forced' END, pg_get_expr(relpartbound, c.oid),
        (SELECT 'of ' || string_agg(inhparent::regclass::text, ' ' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
        (SELECT count(*) || ' triggers of its keys are off' FROM pg_trigger
            WHERE tgrelid = c.oid AND tgisinternal AND tgenabled <> 'O' HAVING count(*) > 0))
    FROM relations c
UNION ALL
SELECT name, 'comment' || coalesce(' of the column ' || quote_ident(attname), ''), description
    FROM relations c JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
UNION ALL
SELECT name, 'column ' || quote_ident(attname), concat_ws(', ', 'the ' || place || '.', format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN 'not null' END, 'default ' || pg_get_expr(adbin, adrelid),
        CASE WHEN attidentity <> '' THEN 'identity ' || attidentity::text END,
        CASE WHEN attgenerated <> '' THEN 'generated' END, 'collation ' || nullif(collname, 'default'),
        'rights ' || array_to_string(attacl, ' '))
    FROM (SELECT c.name, a.*, row_number() OVER (PARTITION BY c.oid ORDER BY attnum) AS place
        FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        WHERE c.relkind <> 'S') a
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
UNION ALL
SELECT name, CASE contype WHEN 'p' THEN 'primary' WHEN 'f' THEN 'foreign' WHEN 'u' THEN 'unique' ELSE 'constraint' END
        || CASE WHEN contype IN ('p', 'f', 'u') THEN ' key ' ELSE ' ' END || quote_ident(conname),
        pg_get_constraintdef(k.oid) || CASE WHEN convalidated THEN '' ELSE ' (not validated)' END
    FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid WHERE contype <> 'n' -- that is the column's `not null`
UNION ALL
SELECT c.name, 'index ' || quote_ident(i.relname), concat_ws(', ', pg_get_indexdef(i.oid),
        CASE WHEN NOT (indisvalid AND indisready AND indislive) THEN 'not valid' END,
        CASE WHEN indisclustered THEN 'clustered' END, CASE WHEN indisreplident THEN 'replica identity' END,
        CASE WHEN NOT indimmediate THEN 'deferrable' END)
    FROM relations c JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid
UNION ALL
SELECT name, 'trigger ' || quote_ident(tgname), pg_get_triggerdef(t.oid) || ', enabled ' || tgenabled::text
    FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT tgisinternal
UNION ALL
SELECT name, 'rule ' || quote_ident(rulename), pg_get_ruledef(r.oid) || ', enabled ' || ev_enabled::text
    FROM relations c JOIN pg_rewrite r ON r.ev_class = c.oid WHERE rulename <> '_RETURN'
UNION ALL
SELECT name, 'policy ' || quote_ident(polname), concat_ws(', ', polcmd::text, polpermissive::text,
        (SELECT string_agg(CASE r WHEN 0 THEN 'all' ELSE pg_get_userbyid(r)::text END, ' ' ORDER BY r) FROM unnest(polroles) r),
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM relations c JOIN pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT name, 'statistics ' || quote_ident(stxname), pg_get_statisticsobjdef(s.oid)
    FROM relations c JOIN pg_statistic_ext s ON s.stxrelid = c.oid
UNION ALL
SELECT name, 'definition', pg_get_viewdef(oid) FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT name, 'numbers', concat_ws(', ', format_type(seqtypid, NULL), 'from ' || seqstart, 'by ' || seqincrement, seqmin, seqmax,
        'cache ' || seqcache, CASE WHEN seqcycle THEN 'cycle' END,
        (SELECT 'for ' || refobjid::regclass::text || '.' || quote_ident(attname) FROM pg_depend d
            JOIN pg_attribute a ON attrelid = refobjid AND attnum = refobjsubid
            WHERE classid = 'pg_class'::regclass AND objid = c.oid AND refclassid = 'pg_class'::regclass
            AND deptype IN ('a', 'i') AND refobjsubid > 0))
    FROM relations c JOIN pg_sequence s ON s.seqrelid = c.oid
UNION ALL
SELECT name, 'owner', pg_get_userbyid(proowner) FROM functions
UNION ALL
SELECT name, 'definition', CASE WHEN prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(oid) END FROM functions
UNION ALL
SELECT name, 'owner', pg_get_userbyid(typowner) FROM types
UNION ALL
SELECT name, 'definition', CASE typtype
        WHEN 'e' THEN (SELECT string_agg(quote_literal(enumlabel), ' ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
        WHEN 'd' THEN concat_ws(', ', format_type(typbasetype, typtypmod), CASE WHEN typnotnull THEN 'not null' END, typdefault,
            (SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY conname) FROM pg_constraint WHERE contypid = t.oid))
        WHEN 'c' THEN (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped)
        ELSE 'range' END
    FROM types t
UNION ALL
SELECT 'event trigger ' || quote_ident(evtname), 'definition', concat_ws(', ', evtevent, evtfoid::regprocedure::text,
        evtenabled::text, array_to_string(evttags, ' ')) FROM pg_event_trigger
