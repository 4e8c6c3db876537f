/** The second file for script tags, which adds language models, and their training in a worker. */
export * from '../llama/index';
export * from '../worker/index';
