/**
 * Makes all tables of `docs/`, and its picture of the comparison, from the results that are kept; measures nothing.
 *
 *   npm run bench -- tables
 */
import {writeFileSync} from 'node:fs';
import {documents, lossAndMemory, writeDocument, type DocumentName} from '../tables/documents';

for (const name of Object.keys(documents) as DocumentName[]) await writeDocument(name);
writeFileSync(lossAndMemory.file, lossAndMemory.draw());
