"""Lesson: a guided tour in eight steps, for a class."""

import streamlit as st

st.title("Lesson")
