/** Whether the backend made of sample data is part of this build. */
declare const __MOCK__: boolean;
