/** The library, from its source, whose worker Vite finds by itself. */
export * from '../../src/worker/index';
