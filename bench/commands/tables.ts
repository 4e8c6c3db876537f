/**
 * Writes all tables of `docs/` anew from the results that are kept, and measures nothing.
 *
 *   npm run bench -- tables
 */
import {documents, writeDocument, type DocumentName} from '../tables/documents';

for (const name of Object.keys(documents) as DocumentName[]) await writeDocument(name);
